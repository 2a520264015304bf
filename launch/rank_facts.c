#include "launch/rank_facts.h"

#include <stdio.h>
#include <string.h>

#include "base/cores.h"
#include "base/memory.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/gpus.h"
#include "launch/machine_facts.h"
#include "launch/threads.h"
#include "train/data/h5.h"

static hy_rank_facts own_facts(const char *table) {
    const hy_thread_plan *plan = hy_threads_plan();
    hy_rank_facts f;
    hy_cores binding;
    memset(&f, 0, sizeof f);
    hy_machine_host(f.host, sizeof f.host);
    hy_cores_of_process(0, &binding);
    hy_cores_text(&binding, f.binding, sizeof f.binding);
    snprintf(f.table, sizeof f.table, "%s", table);
    snprintf(f.mpi, sizeof f.mpi, "%s", hy_comm_library());
    hy_h5_version(f.hdf5, sizeof f.hdf5);
    f.local_ranks = plan->local_ranks;
    f.cores = plan->cores;
    f.threads = hy_cpu_threads();
    f.blas = hy_cpu_blas_threads();
    f.gpus = hy_gpu_count(f.gpu, sizeof f.gpu);
    if (f.gpus > 0) {
        hy_gpu_facts(0, f.gpu, sizeof f.gpu);
    }
    f.locked = hy_machine_locked_memory();
    f.shared = hy_machine_shared_memory();
    f.rdma = hy_machine_has_rdma();
    return f;
}

hy_status hy_rank_facts_gather(hy_comm *world, const char *table, hy_rank_facts **all) {
    const hy_rank_facts mine = own_facts(table);
    hy_rank_facts *facts = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("facts of all ranks", hy_comm_size(world), &facts)));
    hy_req req = {0};
    hy_comm_all_gather(world, "facts", &mine, facts, sizeof mine, &req);
    hy_comm_wait(&req);
    *all = facts;
    return HY_OK;
}

int hy_rank_facts_first(const hy_rank_facts *all, int r) {
    int first = 0;
    while (strcmp(all[first].host, all[r].host) != 0) {
        first++;
    }
    return first;
}

int hy_rank_facts_threads(const hy_rank_facts *all, int size, int r) {
    int threads = 0;
    for (int i = 0; i < size; i++) {
        const int most = all[i].threads > all[i].blas ? all[i].threads : all[i].blas;
        threads += strcmp(all[i].host, all[r].host) == 0 ? most : 0;
    }
    return threads;
}

typedef enum column { RANKS, BINDINGS, THREADS, BLAS } column;

static void write_column(hy_json *json, const char *key, column which, const hy_rank_facts *all, int size, int r) {
    hy_json_open_array(json, key);
    for (int i = r; i < size; i++) {
        if (strcmp(all[i].host, all[r].host) != 0) {
            continue;
        }
        if (which == BINDINGS) {
            hy_json_string(json, NULL, all[i].binding);
        } else {
            hy_json_int(json, NULL, which == RANKS ? i : which == THREADS ? all[i].threads : all[i].blas);
        }
    }
    hy_json_close(json);
}

void hy_rank_facts_json(hy_json *json, const hy_rank_facts *all, int size) {
    hy_json_open_array(json, "hosts");
    for (int r = 0; r < size; r++) {
        if (hy_rank_facts_first(all, r) != r) {
            continue;
        }
        hy_json_open_object(json, NULL);
        hy_json_string(json, "host", all[r].host);
        hy_json_int(json, "cores", all[r].cores);
        hy_json_int(json, "gpus", all[r].gpus);
        hy_json_string(json, "gpu", all[r].gpus > 0 ? all[r].gpu : NULL);
        hy_json_int(json, "locked_memory_bytes", all[r].locked);
        hy_json_int(json, "shared_memory_bytes", all[r].shared);
        write_column(json, "ranks", RANKS, all, size, r);
        write_column(json, "bindings", BINDINGS, all, size, r);
        write_column(json, "threads", THREADS, all, size, r);
        write_column(json, "blas_threads", BLAS, all, size, r);
        hy_json_close(json);
    }
    hy_json_close(json);
}
