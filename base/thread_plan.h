/* How many threads a rank uses, and what is wrong with it: a function of the cores that the ranks of a host may use and of what the
 * user asked for.
 *
 * Where the user asked for nothing, a rank takes its share of the cores it may run on: a core that n ranks of the host may use counts
 * 1/n for each of them; at least 1 thread. So ranks with cores of their own take all of them, and ranks that share a machine divide it. */
#ifndef HY_BASE_THREAD_PLAN_H
#define HY_BASE_THREAD_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cores.h"

typedef struct hy_thread_facts {
    const hy_cores *bindings; /* [local_ranks] cores that each rank of this host may run on */
    int local_ranks, mine;    /* mine: this rank among them */
    int launcher_cores;       /* cores that the launcher had to give; 0 = not known */
    int quota;                /* whole cores that a time limit is worth; 0 = none */
    bool binding_chosen;      /* the user told the launcher how to bind */
    int asked, asked_blas;    /* OMP_NUM_THREADS, OPENBLAS_NUM_THREADS; 0 = not set */
} hy_thread_facts;

typedef enum hy_thread_trouble {
    HY_THREADS_FIT,
    HY_THREADS_TOO_MANY,    /* the user asked for more than there are cores */
    HY_THREADS_BOUND,       /* the same, but the launcher has the cores and did not give them */
    HY_THREADS_CORES_UNUSED /* the launcher gave the ranks fewer cores than it has, unasked */
} hy_thread_trouble;

typedef struct hy_thread_plan {
    int local_ranks, cores; /* cores that the ranks of this host may use together */
    int threads, blas;      /* of this rank: OpenMP, BLAS */
    int fitting;            /* what it would take unasked */
    int launcher_cores;
    bool asked, asked_blas; /* the user's choice */
    bool yield;             /* ranks or threads exceed cores: who waits must leave the core */
    hy_thread_trouble trouble;
} hy_thread_plan;

hy_thread_plan hy_thread_plan_make(const hy_thread_facts *facts);
/* What is wrong and the line that mends it; false where all is well. */
bool hy_thread_plan_warning(const hy_thread_plan *plan, const char *host, char *text, size_t size);

#endif
