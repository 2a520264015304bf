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
    HY_EVENT_POST, /* exchange `a` (its number on this rank), called names[how.name]: the messages bodies[how.body], with one tag */
    HY_EVENT_WAIT,  /* for exchange `a` */
    HY_EVENT_PLACE, /* from here on: place `a`, as who records calls it (a layer, a direction) */
    HY_EVENT_MARK,  /* what comes before only leads up to what counts: at most one, on all ranks or none */
    HY_EVENT_EARLY  /* `a`: hy_early */
} hy_event_kind;

typedef struct hy_event {
    int32_t kind, a;
    union {
        struct {
            int32_t name, body;
        } how;
        double flops;
    };
    union {
        struct {
            uint64_t comm : 16, tag : 48;
        } at;
        double bytes; /* that an operation moves */
    };
} hy_event;

/* A message of an exchange, to or from a rank of its communicator. HY_PART_STEP is none: what follows is posted once the messages so far are
 * complete. */
typedef enum hy_part_kind { HY_PART_SEND, HY_PART_RECV, HY_PART_STEP } hy_part_kind;
typedef struct hy_part {
    int32_t kind, peer;
    int64_t bytes;
} hy_part;

/* What an exchange consists of: parts[first] and `n` from there. Exchanges that are alike, as those of all layers and both steps are, have one. */
typedef struct hy_body {
    int64_t first, n;
} hy_body;

/* A communicator as the ranks make it: the same one is the same `comm` on all of them. Rank `rank` of `size` of those of this color. */
typedef struct hy_schedule_comm {
    int color, rank, size;
} hy_schedule_comm;

struct hy_schedule {
    hy_event *events;
    int64_t n, limit;
    hy_part *parts;
    int64_t n_parts, limit_parts;
    hy_body *bodies;    /* the last is being recorded while `open` */
    const char **names; /* of exchanges: constants */
    int n_names, n_comms, n_bodies;
    int64_t limit_names, limit_comms, limit_bodies;
    hy_schedule_comm *comms;
    int32_t exchanges; /* so far */
    int32_t waited;    /* the exchange that was waited for last */
    bool open;         /* an exchange is being recorded */
    bool step_is_over; /* of it */
    bool stopped;      /* nothing is recorded now */
    hy_status status;  /* the first failure to find room */
};

/* Local, all of them. What cannot be recorded for want of memory is said by `status`. */
void hy_schedule_compute(hy_schedule *s, int op, double flops, double bytes);
void hy_schedule_place(hy_schedule *s, int place);
void hy_schedule_mark(hy_schedule *s);
void hy_schedule_early(hy_schedule *s, hy_early early);
/* The exchange's number. Its messages follow, then its end. */
int32_t hy_schedule_post(hy_schedule *s, const char *name);
void hy_schedule_message(hy_schedule *s, bool send, int comm, int peer, uint64_t tag, int64_t bytes);
void hy_schedule_post_end(hy_schedule *s);
void hy_schedule_wait(hy_schedule *s, int32_t exchange);
/* The communicator's number. */
int hy_schedule_add_comm(hy_schedule *s, int color, int rank, int size);
/* Frees what it holds; itself is the caller's. */
void hy_schedule_clear(hy_schedule *s);

#endif
