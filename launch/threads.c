#include "launch/threads.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "comm/launcher.h"
#include "kernels/cpu/cpu_info.h"
#include "launch/machine_facts.h"

static hy_thread_plan chosen;

/* The first of "4,2": what counts at the outer level; 0 where it is not set or makes no sense. */
static int number_in_environment(const char *name) {
    const char *text = getenv(name);
    const long value = text != NULL ? strtol(text, NULL, 10) : 0;
    return value > 0 && value <= HY_CORES_MAX ? (int)value : 0;
}

/* Cores of every rank of this host; caller frees. Collective over `host`. */
static hy_status gather_bindings(hy_comm *host, hy_cores **bindings) {
    hy_cores own, *all = NULL;
    hy_req req = {0};
    hy_cores_of_process(0, &own);
    HY_TRY(hy_comm_agree(host, HY_NEW("cores of the ranks of this host", hy_comm_size(host), &all)));
    hy_comm_all_gather(host, "cores", &own, all, sizeof own, &req);
    hy_comm_wait(&req);
    *bindings = all;
    return HY_OK;
}

static void choose_threads(const hy_comm *host, const hy_cores *bindings) {
    hy_cores launcher;
    hy_launcher_cores(&launcher);
    const hy_thread_facts facts = {.bindings = bindings,
                                   .local_ranks = hy_comm_size(host),
                                   .mine = hy_comm_rank(host),
                                   .launcher_cores = hy_cores_count(&launcher),
                                   .quota = hy_cores_quota(),
                                   .binding_chosen = hy_launcher_binding_chosen(),
                                   .asked = number_in_environment("OMP_NUM_THREADS"),
                                   .asked_blas = number_in_environment("OPENBLAS_NUM_THREADS")};
    chosen = hy_thread_plan_make(&facts);
    hy_cpu_set_threads(chosen.asked ? 0 : chosen.threads, chosen.asked_blas ? 0 : chosen.blas);
}

static void warn_of_trouble(void) {
    char text[512], host[64];
    hy_machine_host(host, sizeof host);
    if (hy_thread_plan_warning(&chosen, host, text, sizeof text)) {
        hy_warn("%s", text);
    }
}

hy_status hy_threads_begin(hy_comm *world, bool warn) {
    hy_comm *host = NULL;
    hy_cores *bindings = NULL;
    HY_TRY(hy_comm_split_host(world, &host));
    const hy_status status = gather_bindings(host, &bindings);
    if (status == HY_OK) {
        choose_threads(host, bindings);
        if (warn && hy_comm_rank(host) == 0) {
            warn_of_trouble();
        }
    }
    hy_free(bindings);
    hy_comm_destroy(host);
    return hy_comm_agree(world, status);
}

const hy_thread_plan *hy_threads_plan(void) {
    return &chosen;
}
