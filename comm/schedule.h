/* What one rank of a run does, in order, as far as time goes: operations with their costs, exchanges as the messages that they are made of,
 * waits. A dry run writes it (hy_comm_schedule_create, kernels/dry.h); schedule_replay.h says how long many of them take together.
 *
 * Exchanges are recorded by running them (exchanges.h): what is recorded is what `ucx` would send. */
#ifndef HY_COMM_SCHEDULE_H
#define HY_COMM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/comm.h"

typedef enum hy_event_kind {
    HY_EVENT_COMPUTE, /* an operation: number `a` (hy_op_id) */
    HY_EVENT_POST,    /* exchange `a` (its number on this rank), called names[b] */
    HY_EVENT_SEND,    /* of the exchange before: `b` bytes, to rank `a` of communicator `at.comm` */
    HY_EVENT_RECV,    /* likewise from rank `a` */
    HY_EVENT_STEP,    /* what follows of the exchange is posted once its messages so far are complete */
    HY_EVENT_WAIT,    /* for exchange `a` */
    HY_EVENT_PLACE,   /* from here on: place `a`, as who records calls it (a layer, a direction) */
    HY_EVENT_MARK     /* what comes before only leads up to what counts: at most one, on all ranks or none */
} hy_event_kind;

typedef struct hy_event {
    int32_t kind, a;
    union {
        int64_t b;
        double flops;
    };
    union {
        struct {
            uint64_t comm : 16, tag : 48;
        } at;
        double bytes; /* that an operation moves */
    };
} hy_event;

/* A communicator as the ranks make it: the same one is the same `comm` on all of them. Rank `rank` of `size` of those of this color. */
typedef struct hy_schedule_comm {
    int color, rank, size;
} hy_schedule_comm;

struct hy_schedule {
    hy_event *events;
    int64_t n, limit;
    const char **names; /* of exchanges: constants */
    int n_names, n_comms, limit_names, limit_comms;
    hy_schedule_comm *comms;
    int32_t exchanges; /* so far */
    int32_t waited;    /* the exchange that was waited for last */
    bool step_is_over; /* of the exchange that is being recorded */
    bool stopped;      /* nothing is recorded now */
    hy_status status;  /* the first failure to find room */
};

/* Local, all of them. What cannot be recorded for want of memory is said by `status`. */
void hy_schedule_compute(hy_schedule *s, int op, double flops, double bytes);
void hy_schedule_place(hy_schedule *s, int place);
void hy_schedule_mark(hy_schedule *s);
/* The exchange's number. */
int32_t hy_schedule_post(hy_schedule *s, const char *name);
void hy_schedule_message(hy_schedule *s, bool send, int comm, int peer, uint64_t tag, int64_t bytes);
void hy_schedule_wait(hy_schedule *s, int32_t exchange);
/* The communicator's number. */
int hy_schedule_add_comm(hy_schedule *s, int color, int rank, int size);
/* Frees what it holds; itself is the caller's. */
void hy_schedule_clear(hy_schedule *s);

#endif
