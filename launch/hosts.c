#include "launch/hosts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number_list.h"
#include "base/table.h"
#include "base/text.h"
#include "launch/threads.h"

static const double MIB = 1024.0 * 1024.0;

hy_status hy_hosts_gather(hy_comm *world, const char *table, hy_hosts *hosts) {
    const int size = hosts->size = hy_comm_size(world);
    HY_TRY(hy_rank_facts_gather(world, table, &hosts->all));
    hy_status status = HY_NEW("clocks of ranks", size, &hosts->clocks);
    if (status == HY_OK) {
        status = HY_NEW("first ranks of hosts", size, &hosts->is_first);
    }
    HY_TRY(hy_comm_agree(world, status));
    for (int r = 0; r < size; r++) {
        hosts->is_first[r] = hy_rank_facts_first(hosts->all, r) == r;
    }
    hy_clock_skew_measure(world, hosts->is_first, hosts->clocks);
    return HY_OK;
}

void hy_hosts_fini(hy_hosts *hosts) {
    hy_free(hosts->all);
    hy_free(hosts->clocks);
    hy_free(hosts->is_first);
}

/* ---- what would go wrong ---- */

/* Threads of a host against the cores that its ranks may use; rank r is the first on its host. */
static void check_threads(hy_findings *found, const hy_hosts *hosts, int r) {
    const hy_rank_facts *all = hosts->all;
    const int threads = hy_rank_facts_threads(all, hosts->size, r), ranks = all[r].local_ranks, cores = all[r].cores;
    char warning[512];
    if (r == 0 && hy_thread_plan_warning(hy_threads_plan(), all[0].host, warning, sizeof warning)) {
        hy_finding_note(found, "threads", "%s", warning);
    } else if (threads > cores) {
        hy_finding_note(found, "threads", "%d (%d rank%s) on the %d core%s of %s: more than one per core is slow",
                        threads, ranks, ranks == 1 ? "" : "s", cores, cores == 1 ? "" : "s", all[r].host);
    } else {
        hy_finding_ok(found, "threads", "%d (%d rank%s) on the %d core%s of %s", threads, ranks, ranks == 1 ? "" : "s",
                      cores, cores == 1 ? "" : "s", all[r].host);
    }
}

static void check_gpus(hy_findings *found, const hy_hosts *hosts, int r) {
    const hy_rank_facts *host = &hosts->all[r], *first = &hosts->all[0];
    if (host->gpus > 0 && host->local_ranks > host->gpus) {
        hy_finding_note(found, "gpu", "%d ranks on the %d GPU%s of %s: ranks that share one get in each other's way",
                        host->local_ranks, host->gpus, host->gpus == 1 ? "" : "s", host->host);
    }
    if (host->gpus != first->gpus) {
        hy_finding_note(found, "gpu", "%s has %d, %s has %d: run.device cuda needs one for each rank", host->host,
                        host->gpus, first->host, first->gpus);
    } else if (host->gpus > 0 && strcmp(host->gpu, first->gpu) != 0) {
        hy_finding_note(found, "gpu", "%s has %s, %s has %s: all go at the pace of the slowest", host->host, host->gpu,
                        first->host, first->gpu);
    }
}

/* Ranks on one host exchange through files in /dev/shm; who sends from pinned memory wants it locked. */
static void check_memory(hy_findings *found, const hy_hosts *hosts, int r) {
    const hy_rank_facts *host = &hosts->all[r];
    const double least = 64.0 * MIB;
    if (host->shared < 0) {
        hy_finding_note(found, "/dev/shm", "not there on %s: its ranks may exchange more slowly", host->host);
    } else if ((double)host->shared < least) {
        hy_finding_note(found, "/dev/shm", "only %s free on %s: many ranks may not start (containers: --shm-size=1g)",
                        hy_text_bytes((double)host->shared).s, host->host);
    } else if (r == 0) {
        hy_finding_ok(found, "/dev/shm", "%s free", hy_text_bytes((double)host->shared).s);
    }
    if (host->locked >= 0 && (double)host->locked < least && (host->gpus > 0 || host->rdma)) {
        hy_finding_note(
            found, "memlock",
            "ranks on %s may lock %s: GPUs and RDMA want it unlimited (ulimit -l, limits.conf, LimitMEMLOCK)",
            host->host, hy_text_bytes((double)host->locked).s);
    }
}

static void check_clock(hy_findings *found, const hy_hosts *hosts, int r) {
    const double bearable = 1.0; /* seconds */
    const double ahead = hosts->clocks[r].ahead;
    if (fabs(ahead) > bearable) {
        hy_finding_note(found, "clock", "that of %s is %s %s that of %s: times in logs and of files disagree",
                        hosts->all[r].host, hy_text_duration(fabs(ahead)).s, ahead > 0.0 ? "ahead of" : "behind",
                        hosts->all[0].host);
    }
}

static bool differs_from_first(const void *context, int r) {
    const hy_rank_facts *all = context;
    return strcmp(all[r].table, all[0].table) != 0 || strcmp(all[r].mpi, all[0].mpi) != 0 ||
           strcmp(all[r].hdf5, all[0].hdf5) != 0;
}

static void check_sameness(hy_findings *found, const hy_hosts *hosts) {
    const hy_rank_facts *all = hosts->all;
    char ranks[128];
    if (hy_number_list(hosts->size, differs_from_first, all, ranks, sizeof ranks) == 0) {
        return;
    }
    int r = 0;
    while (!differs_from_first(all, r)) {
        r++;
    }
    hy_finding_note(found, "ranks", "%s differ from rank 0; rank %d on %s has table %s, %s, HDF5 %s", ranks, r,
                    all[r].host, all[r].table, all[r].mpi, all[r].hdf5);
}

static void check_host(hy_findings *found, const hy_hosts *hosts, int r) {
    check_threads(found, hosts, r);
    check_gpus(found, hosts, r);
    check_memory(found, hosts, r);
    check_clock(found, hosts, r);
}

void hy_hosts_check(const hy_hosts *hosts, hy_findings *found) {
    int n = 0;
    for (int r = 0; r < hosts->size; r++) {
        if (hosts->is_first[r]) {
            check_host(found, hosts, r);
            n++;
        }
    }
    check_sameness(found, hosts);
    if (hosts->size > 1) {
        hy_finding_ok(found, "hosts", "%d", n);
    }
}

/* ---- the table ---- */

typedef struct of_host {
    const hy_hosts *hosts;
    int first;
} of_host;

static bool is_on_host(const void *context, int r) {
    const of_host *h = context;
    return strcmp(h->hosts->all[r].host, h->hosts->all[h->first].host) == 0;
}

/* "0-3 | 4-7": cores of its ranks, once where all have the same. */
static void join_bindings(const hy_hosts *hosts, int first, char *text, size_t size) {
    const of_host h = {hosts, first};
    bool same = true;
    size_t used = 0;
    for (int r = first; r < hosts->size; r++) {
        same &= !is_on_host(&h, r) || strcmp(hosts->all[r].binding, hosts->all[first].binding) == 0;
    }
    for (int r = first; r < hosts->size && used < size; r++) {
        if (is_on_host(&h, r) && (r == first || !same)) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", r > first ? " | " : "", hosts->all[r].binding);
        }
    }
}

static const char *bytes_or(int64_t bytes, const char *otherwise, hy_text *room) {
    *room = hy_text_bytes((double)bytes);
    return bytes < 0 ? otherwise : room->s;
}

static void add_host_row(hy_text_table *table, const hy_hosts *hosts, int r) {
    const hy_rank_facts *host = &hosts->all[r];
    const of_host h = {hosts, r};
    char ranks[64], bindings[128];
    hy_text room;
    hy_findings troubles = {.quiet = true};
    (void)hy_number_list(hosts->size, is_on_host, &h, ranks, sizeof ranks);
    join_bindings(hosts, r, bindings, sizeof bindings);
    check_host(&troubles, hosts, r);
    hy_text_table_cell(table, "%s", host->host);
    hy_text_table_cell(table, "%s", ranks);
    hy_text_table_cell(table, "%d", host->cores);
    hy_text_table_cell(table, "%s", bindings);
    hy_text_table_cell(table, "%d", hy_rank_facts_threads(hosts->all, hosts->size, r));
    hy_text_table_cell(table, "%d", host->gpus);
    hy_text_table_cell(table, "%s", bytes_or(host->locked, "any", &room));
    hy_text_table_cell(table, "%s", bytes_or(host->shared, "none", &room));
    hy_text_table_cell(table, "%s%s", hosts->clocks[r].ahead < 0.0 ? "-" : "",
                       hy_text_duration(fabs(hosts->clocks[r].ahead)).s);
    hy_text_table_cell(table, "%s", r == 0 ? "-" : hy_text_duration(hosts->clocks[r].round_trip).s);
    hy_text_table_cell(table, "%s", troubles.notes > 0 ? troubles.names : "none");
}

hy_status hy_hosts_print(const hy_hosts *hosts) {
    static const char *const head[] = {"host",    "ranks",    "cores", "bound to",   "threads", "GPUs",
                                       "memlock", "/dev/shm", "clock", "round trip", "trouble"};
    hy_text_table *table = NULL;
    if (hosts->size == 1) {
        return HY_OK;
    }
    HY_TRY(hy_text_table_create(sizeof head / sizeof head[0], head, &table));
    for (int r = 0; r < hosts->size; r++) {
        if (hosts->is_first[r]) {
            add_host_row(table, hosts, r);
        }
    }
    printf("\n");
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}

void hy_hosts_clocks_json(hy_json *json, const hy_hosts *hosts) {
    hy_json_open_array(json, "clocks");
    for (int r = 0; r < hosts->size; r++) {
        if (hosts->is_first[r]) {
            hy_json_open_object(json, NULL);
            hy_json_string(json, "host", hosts->all[r].host);
            hy_json_double(json, "ahead_seconds", hosts->clocks[r].ahead);
            hy_json_double(json, "round_trip_seconds", hosts->clocks[r].round_trip);
            hy_json_close(json);
        }
    }
    hy_json_close(json);
}
