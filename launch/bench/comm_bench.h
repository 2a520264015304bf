/* What the two halves of `hylas bench comm` share: the communicator under test, its device, and how one exchange is posted. */
#ifndef HY_LAUNCH_COMM_BENCH_H
#define HY_LAUNCH_COMM_BENCH_H

#include "base/json.h"
#include "launch/bench/comm_pattern.h"
#include "train/run/config.h"

typedef struct hy_comm_bench {
    hy_comm *world; /* control: agreements, times */
    hy_device *device;
    hy_transport_id transport;
    hy_comm *bound; /* what is measured: exchanges of the device's memory */
    int64_t rounds, warmups, checks, spoil;
    const char *only; /* exchanges with this in their name; NULL: all */
    int64_t wrong;    /* over all rows */
    hy_json *json;    /* NULL: a table */
} hy_comm_bench;

/* Posts one exchange of elements of `c->type`; in place where send is NULL. reqs[2]. */
void hy_comm_bench_post(hy_comm *comm, const hy_comm_case *c, const void *send, void *recv, hy_req reqs[2]);
/* Waits for it as the host sees it: also for the device, where it is one that runs on its own. */
void hy_comm_bench_wait(const hy_comm_bench *b, hy_req *reqs, int n);

/* What exchanges hide behind. */
typedef struct hy_comm_computing {
    double seconds, piece; /* 0: as long as the exchange takes; of one operation, between which exchanges advance */
    bool elsewhere;        /* as on a GPU: this core sleeps through each operation, instead of being busy */
} hy_comm_computing;

/* The exchanges of one step of `config`, each of its size, alone and behind computing. Collective. */
HY_MUST_CHECK hy_status hy_comm_bench_trainer(hy_comm_bench *b, const hy_config *config,
                                              const hy_comm_computing *computing);

/* The command. Collective. */
HY_MUST_CHECK hy_status hy_bench_comm(int argc, char **argv, hy_comm *world);

#endif
