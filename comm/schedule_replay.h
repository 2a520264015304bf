/* How long the schedules of all ranks of a run take together, on a network and at rates that are given: each rank does what its schedule
 * says, in order; a message leaves once both sides have posted it (a small one, once it is sent); an exchange's next step is posted when its
 * messages so far are complete.
 *
 * Not modelled: what exchanging takes from computing (processors, memory bandwidth), jitter. */
#ifndef HY_COMM_SCHEDULE_REPLAY_H
#define HY_COMM_SCHEDULE_REPLAY_H

#include "comm/network.h"
#include "comm/schedule.h"

typedef struct hy_replay_rates {
    /* Seconds of an operation; `context` is passed on. */
    double (*seconds)(const void *context, int op, double flops, double bytes);
    const void *context;
    double post;         /* seconds of the processor that posting a message takes */
    int64_t eager;       /* bytes up to which a message is sent before its receiver wants it */
    bool calls_progress; /* an exchange's next step begins only where its rank is between operations or waits */
} hy_replay_rates;

/* One name's exchanges, of one rank or all. */
typedef struct hy_replay_exchange {
    const char *name;
    int64_t count, messages, sent, received; /* bytes */
    double in_flight, waited;                /* seconds: posted to complete; the rank stood still for it */
} hy_replay_exchange;

typedef struct hy_replay_rank {
    double begin, end, computing, waiting, posting; /* seconds */
} hy_replay_rank;

/* One place (HY_EVENT_PLACE), all ranks together. */
typedef struct hy_replay_place {
    double computed, waited; /* seconds */
    int64_t sent, messages;  /* of exchanges posted there; bytes */
} hy_replay_place;

typedef struct hy_replay {
    double
        seconds; /* from the last rank's mark, or the beginning, to the last rank's end; what counts lies behind the mark */
    int n_ranks, n_exchanges, n_places;
    hy_replay_rank *ranks;
    hy_replay_exchange *exchanges; /* [n_exchanges] all ranks together */
    hy_replay_place *places;       /* [n_places] */
} hy_replay;

/* HY_ERR_DATA if the schedules do not fit each other (a rank waits for what none sends), naming the rank and the exchange. Local. */
HY_MUST_CHECK hy_status hy_replay_run(const hy_schedule *const *schedules, int ranks, const hy_network_shape *network,
                                      const hy_replay_rates *rates, hy_replay **out);
void hy_replay_destroy(hy_replay *replay); /* NULL allowed */

#endif
