/* Spans: what this process did when. A ring that the caller gives, one writer (the thread that trains), no lock, nothing waits: a span is
 * two readings of the clock and 112 bytes. In the ring they lie in the order of their beginnings.
 *
 *   WORK      an instruction of the runner, or another stretch of computing; they do not overlap
 *   HOST      a stretch of the step in which the process does something else: reads data, makes lists
 *   EXCHANGE  from posting to the first time it was seen complete; it completed between `not_yet` and `end`
 *   WAIT      inside hy_comm_wait, for the exchange `of`
 *   MOVE      inside a call that posts, tests or moves exchanges on (libraries copy there): the processor computes nothing
 *
 * On a device whose calls return before their work is done a clock of its own may give the times of WORK and WAIT
 * (hy_spans_set_clock): then these are the lane's. */
#ifndef HY_BASE_SPAN_H
#define HY_BASE_SPAN_H

#include <stdbool.h>
#include <stdint.h>

typedef enum hy_span_kind { HY_SPAN_WORK, HY_SPAN_HOST, HY_SPAN_EXCHANGE, HY_SPAN_WAIT, HY_SPAN_MOVE } hy_span_kind;

/* Where in the step: set by who knows, copied into every span that begins. */
typedef struct hy_span_place {
    int32_t step;  /* −1: none */
    int32_t node;  /* of the graph; −1: none */
    int32_t block; /* 0: embedding and head; 1 + layer; −1: none */
    int32_t phase; /* hy_phase; 0 without a node */
    int32_t part;  /* hy_sp_part */
} hy_span_place;

typedef struct hy_span {
    double begin, end; /* seconds of base/clock.h; end 0: not over, or nobody sees when */
    double started,
        not_yet;      /* EXCHANGE: in flight from here on, when what moves it was given it; last seen incomplete */
    const char *name; /* a string constant */
    int64_t number;   /* from 1 */
    int64_t of;       /* WAIT: number of the exchange */
    int64_t bytes;    /* EXCHANGE: as exchange records count them */
    hy_span_place place;
    int32_t kind;
    int32_t exchange;        /* EXCHANGE: hy_exchange_kind */
    int32_t peer, tag, size; /* EXCHANGE: rank in its communicator, −1: all; ranks of that */
} hy_span;

/* From now on spans go into ring[capacity] (borrowed); NULL: nowhere, as at first. Ends a pause. */
void hy_spans_record(hy_span *ring, int64_t capacity);
/* Until it is told otherwise no span is begun; those that are there can end. */
void hy_spans_pause(bool pause);
bool hy_spans_are_recorded(void);
/* How many were begun since. The last `capacity` of them are there. */
int64_t hy_spans_count(void);
/* The span of that number; NULL if it is not in the ring, or 0. */
hy_span *hy_span_of(int64_t number);

hy_span_place hy_span_here(void);
void hy_span_set_place(hy_span_place place);

/* `stamp` writes the time to *at, now or when the device gets there; NULL: the host's time, now. */
void hy_spans_set_clock(void (*stamp)(void *context, double *at), void *context);
bool hy_spans_have_clock(void);

/* Whoever empties the ring: called by hy_spans_pass, while no WORK is going on, once half of it is new since it was called; NULL: none. */
void hy_spans_set_taker(void (*take)(void *context), void *context);
void hy_spans_pass(void);

/* A WORK, HOST or WAIT span. Its number; 0 where nothing is recorded. */
int64_t hy_span_begin(hy_span_kind kind, const char *name);
void hy_span_end(int64_t number);
/* A span whose times are known already; no other has begun since `begin`. end 0: later. */
int64_t hy_span_add(hy_span_kind kind, const char *name, double begin, double end);

#endif
