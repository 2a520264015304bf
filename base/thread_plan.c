#include "base/thread_plan.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int least_threads(int a, int b) {
    return a < b ? a : b;
}

/* Ranks of the host that may run on each core. */
static void count_sharers(const hy_thread_facts *facts, int16_t sharers[HY_CORES_MAX]) {
    for (int core = 0; core < HY_CORES_MAX; core++) {
        sharers[core] = 0;
        for (int r = 0; r < facts->local_ranks; r++) {
            sharers[core] = (int16_t)(sharers[core] + hy_cores_has(&facts->bindings[r], core));
        }
    }
}

/* `scale`: the part of each core's time that there is. A little is added, so that nothing is lost to rounding before the floor. */
static int share_of(const hy_cores *binding, const int16_t sharers[HY_CORES_MAX], double scale) {
    double share = 0.0;
    for (int core = 0; core < HY_CORES_MAX; core++) {
        share += hy_cores_has(binding, core) ? scale / sharers[core] : 0.0;
    }
    return share < 2.0 - 1e-6 ? 1 : (int)(share + 1e-6);
}

/* Threads of all ranks of the host, each with the environment of this one. */
static int threads_of_host(const hy_thread_facts *facts, const int16_t *sharers, double scale) {
    int sum = 0;
    for (int r = 0; r < facts->local_ranks; r++) {
        const int threads = facts->asked > 0 ? facts->asked : share_of(&facts->bindings[r], sharers, scale);
        sum += facts->asked_blas > threads ? facts->asked_blas : threads;
    }
    return sum;
}

static hy_thread_trouble find_trouble(const hy_thread_facts *facts, const hy_thread_plan *plan, int threads) {
    if ((plan->threads > plan->fitting || plan->blas > plan->fitting) && threads > plan->cores) {
        return threads <= plan->launcher_cores ? HY_THREADS_BOUND : HY_THREADS_TOO_MANY;
    }
    if (!plan->asked && !facts->binding_chosen && plan->cores < plan->launcher_cores) {
        return HY_THREADS_CORES_UNUSED;
    }
    return HY_THREADS_FIT;
}

hy_thread_plan hy_thread_plan_make(const hy_thread_facts *facts) {
    int16_t sharers[HY_CORES_MAX];
    hy_cores all;
    memset(&all, 0, sizeof all);
    for (int r = 0; r < facts->local_ranks; r++) {
        hy_cores_unite(&all, &facts->bindings[r]);
    }
    count_sharers(facts, sharers);
    const int cores = hy_cores_count(&all) > 0 ? hy_cores_count(&all) : 1;
    const int limit = facts->quota > 0 ? facts->quota : HY_CORES_MAX, usable = least_threads(cores, limit);
    const double scale = (double)usable / cores;
    hy_thread_plan plan = {.local_ranks = facts->local_ranks,
                           .cores = usable,
                           .fitting = share_of(&facts->bindings[facts->mine], sharers, scale),
                           .launcher_cores = least_threads(facts->launcher_cores, limit),
                           .asked = facts->asked > 0,
                           .asked_blas = facts->asked_blas > 0};
    plan.threads = plan.asked ? facts->asked : plan.fitting;
    plan.blas = plan.asked_blas ? facts->asked_blas : plan.threads;
    const int threads = threads_of_host(facts, sharers, scale);
    plan.yield = threads > plan.cores;
    plan.trouble = find_trouble(facts, &plan, threads);
    return plan;
}

static const char *plural(int n) {
    return n == 1 ? "" : "s";
}

bool hy_thread_plan_warning(const hy_thread_plan *plan, const char *host, char *text, size_t size) {
    const bool blas = plan->blas > plan->threads;
    const int asked = blas ? plan->blas : plan->threads, ranks = plan->local_ranks;
    const char *name = blas ? "OPENBLAS_NUM_THREADS" : "OMP_NUM_THREADS";
    switch (plan->trouble) {
    case HY_THREADS_FIT:
        return false;
    case HY_THREADS_TOO_MANY:
        snprintf(text, size, "%s: %s=%d for each of %d rank%s on %d core%s is very slow; mend it with: export %s=%d",
                 host, name, asked, ranks, plural(ranks), plan->cores, plural(plan->cores), name, plan->fitting);
        return true;
    case HY_THREADS_BOUND:
        snprintf(
            text, size,
            "%s: %s=%d for each of %d rank%s, which mpirun bound to %d of %d cores, is very slow; mend it with: mpirun "
            "--bind-to none",
            host, name, asked, ranks, plural(ranks), plan->cores, plan->launcher_cores);
        return true;
    case HY_THREADS_CORES_UNUSED:
        snprintf(text, size, "%s: mpirun bound %d rank%s to %d of %d cores; to use all of them: mpirun --bind-to none",
                 host, ranks, plural(ranks), plan->cores, plan->launcher_cores);
        return true;
    }
    return false;
}
