/* What each rank runs on, brought together: for doctor and for env.json of a run. */
#ifndef HY_LAUNCH_RANK_FACTS_H
#define HY_LAUNCH_RANK_FACTS_H

#include "base/json.h"
#include "comm/comm.h"

typedef struct hy_rank_facts {
    char host[64], table[32], mpi[128], hdf5[64];
    char binding[128];      /* cores this rank may run on, "0-3,8" */
    int local_ranks, cores; /* of its host: ranks of this job, and the cores they may use together */
    int threads, blas;      /* of this rank */
    int gpus;               /* that it sees; the first one's name, or why there is none */
    char gpu[128];
    bool rdma;              /* there is an InfiniBand or RoCE device */
    int64_t locked, shared; /* bytes of memory it may lock, −1 = any; free in /dev/shm, −1 = it is not there */
} hy_rank_facts;

/* Those of all ranks, in their order; the caller frees. `table`: the variant of table cpu. Collective. */
HY_MUST_CHECK hy_status hy_rank_facts_gather(hy_comm *world, const char *table, hy_rank_facts **all);

/* The first rank on the host of rank r; r itself if it is that. */
int hy_rank_facts_first(const hy_rank_facts *all, int r);
/* Threads of all ranks on the host of rank r: the larger of OpenMP's and BLAS's of each. */
int hy_rank_facts_threads(const hy_rank_facts *all, int size, int r);

/* "hosts": [{"host", "cores", "gpus", "gpu", "locked_memory_bytes", "shared_memory_bytes", "ranks": [...], "bindings": [...], "threads": [...], "blas_threads": [...]}], hosts in order of their first
 * rank. */
void hy_rank_facts_json(hy_json *json, const hy_rank_facts *all, int size);

#endif
