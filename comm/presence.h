/* What this rank is doing, published where a thread of its own can read it (watchdog.h): the exchange it waits in, or after which it
 * computes, and the program's phase. Written by the thread that runs the program only. A rank waits in one exchange at a time, however
 * many are posted. */
#ifndef HY_COMM_PRESENCE_H
#define HY_COMM_PRESENCE_H

#include "comm/comm.h"

typedef struct hy_presence {
    const char *name; /* of the exchange that is waited for; while computing, of the last one. NULL: none yet */
    int kind;         /* hy_exchange_kind; HY_X_KINDS: a barrier */
    int64_t number;   /* of collectives, or of messages, of its communicator */
    int peer;         /* hy_req's */
    bool waits;       /* in that exchange */
    bool for_device;  /* it waits for a device that waits for the exchange: true as long as `pulse` moves */
    double since;     /* hy_now() when this began */
    double waited;    /* seconds in exchanges until then */
    const char *phase;
    int64_t step, changes, pulse;
} hy_presence;

/* The program's phase, a string constant, and training step. */
void hy_presence_phase(const char *phase, int64_t step);

/* For comm.c. The host waits in the exchange from now on; no longer. */
void hy_presence_wait(const hy_req *req, double now);
void hy_presence_done(double now);
/* It waited for so long, and is through; instead of both. */
void hy_presence_passed(const hy_req *req, double waited, double now);
/* The host waits for a device; `oldest` is its oldest exchange that is under way, NULL: none. */
void hy_presence_idle(const hy_req *oldest);

/* From any thread. */
hy_presence hy_presence_read(void);

#endif
