#include "train/run/gemm_peak.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/cpu/cpu_info.h"

enum { N_MAX = HY_GEMM_PEAK_N, N_MIN = 128, SIZES = 3, BURSTS_MIN = 3, BURSTS_MAX = 4096 };
static const double WARM_UP = 0.05, MEASURE = 0.3; /* seconds */

/* ---- counting ---- */

void hy_rank_peak_count(const hy_gemm_burst *bursts, int n, hy_rank_peak *rank) {
    double wall = 0.0, cpu = 0.0;
    rank->flops_per_second = 0.0;
    for (int i = 0; i < n; i++) {
        const double ran = bursts[i].cpu > 0.0 ? bursts[i].cpu : bursts[i].wall; /* a clock too coarse to see it */
        if (ran > 0.0 && bursts[i].flops / ran > rank->flops_per_second) {
            rank->flops_per_second = bursts[i].flops / ran;
        }
        wall += bursts[i].wall;
        cpu += bursts[i].cpu;
    }
    rank->share = wall > 0.0 && cpu < wall ? cpu / wall : 1.0;
}

/* The host of ranks[first]. More threads than cores take turns. */
static hy_host_peak count_host(const hy_rank_peak *ranks, int first, int n) {
    hy_host_peak host = {.ranks = 0};
    cpu_set_t cores;
    double share = 0.0;
    CPU_ZERO(&cores);
    memcpy(host.host, ranks[first].host, sizeof host.host);
    memcpy(host.processor, ranks[first].processor, sizeof host.processor);
    for (int i = first; i < n; i++) {
        if (strcmp(ranks[i].host, host.host) == 0) {
            CPU_OR(&cores, &cores, &ranks[i].cores);
            host.ranks++;
            host.threads += ranks[i].threads;
            host.flops_per_second += ranks[i].flops_per_second;
            share += ranks[i].share;
        }
    }
    host.cores = CPU_COUNT(&cores);
    const double turn = host.cores > 0 && host.cores < host.threads ? (double)host.cores / host.threads : 1.0;
    host.flops_per_second *= turn;
    share /= host.ranks * turn;
    host.undisturbed = share < 1.0 ? share : 1.0;
    return host;
}

int hy_host_peaks(const hy_rank_peak *ranks, int n, hy_host_peak *hosts) {
    int n_hosts = 0;
    for (int i = 0; i < n; i++) {
        int at = 0;
        while (at < n_hosts && strcmp(hosts[at].host, ranks[i].host) != 0) {
            at++;
        }
        if (at == n_hosts) {
            hosts[n_hosts++] = count_host(ranks, i, n);
        }
    }
    return n_hosts;
}

/* ---- measuring ---- */

static double thread_seconds(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static hy_gemm_burst take_burst(hy_device *device, float *matrices, int64_t n) {
    const int64_t size = (int64_t)N_MAX * N_MAX;
    const double wall = hy_now(), cpu = thread_seconds();
    hy_gemm(device, &(hy_gemm_args){.m = n,
                                    .n = n,
                                    .k = n,
                                    .alpha = 1.0,
                                    .a = matrices,
                                    .lda = n,
                                    .b = matrices + size,
                                    .ldb = n,
                                    .c = matrices + 2 * size,
                                    .ldc = n});
    return (hy_gemm_burst){2.0 * (double)(n * n * n), hy_now() - wall, thread_seconds() - cpu};
}

/* Sizes take turns: the large ones are the most efficient, the small ones are over before others get the core. A slow
 * table has only time for the smallest. */
static void measure(hy_device *device, float *matrices, hy_gemm_burst *bursts, hy_rank_peak *rank) {
    static const int64_t sizes[SIZES] = {N_MAX, N_MAX / 2, N_MAX / 4};
    const double begin = hy_now();
    do {
        bursts[0] = take_burst(device, matrices, N_MIN);
    } while (hy_now() < begin + WARM_UP);
    const double rate = bursts[0].flops / bursts[0].wall, end = hy_now() + MEASURE;
    int n = 1;
    for (int turn = 0; n < BURSTS_MAX && (turn < BURSTS_MIN || hy_now() < end); turn++) {
        const double size = (double)sizes[turn % SIZES];
        const bool affordable = 2.0 * size * size * size < rate * MEASURE;
        bursts[n++] = take_burst(device, matrices, affordable ? sizes[turn % SIZES] : N_MIN);
    }
    hy_rank_peak_count(bursts, n, rank);
}

static void find_processor(const char *detail, char *text, size_t size) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256], model[64] = "unknown processor";
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "model name : %63[^\n]", model) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    snprintf(text, size, "%s, %s", model, detail);
}

static void describe(const hy_device *device, hy_rank_peak *rank) {
    memset(rank, 0, sizeof *rank);
    (void)gethostname(rank->host, sizeof rank->host - 1);
    find_processor(device->table.detail, rank->processor, sizeof rank->processor);
    rank->threads = hy_cpu_threads();
    if (sched_getaffinity(0, sizeof rank->cores, &rank->cores) != 0) {
        CPU_ZERO(&rank->cores); /* more processors than the set holds: as if there were enough */
    }
}

static hy_status gather(hy_comm *world, const hy_rank_peak *mine, hy_host_peak **hosts, int *n_hosts) {
    const int size = hy_comm_size(world);
    hy_rank_peak *ranks = NULL;
    hy_host_peak *found = NULL;
    hy_req req = {0};
    hy_status status = HY_NEW("peaks of ranks", size, &ranks);
    if (status == HY_OK && hy_comm_rank(world) == 0) {
        status = HY_NEW("peaks of hosts", size, &found);
    }
    status = hy_comm_agree(world, status);
    if (status != HY_OK) {
        hy_free(ranks);
        hy_free(found);
        return status;
    }
    hy_comm_all_gather(world, "GEMM peak", mine, ranks, sizeof *mine, &req);
    hy_comm_wait(&req);
    *n_hosts = found != NULL ? hy_host_peaks(ranks, size, found) : 0;
    *hosts = found;
    hy_free(ranks);
    return HY_OK;
}

hy_status hy_gemm_peak_measure(hy_comm *world, hy_device *device, hy_host_peak **hosts, int *n_hosts) {
    const hy_device before = *device;
    float *matrices = NULL;
    hy_gemm_burst *bursts = NULL;
    hy_rank_peak mine;
    hy_status status = HY_NEW("matrices of the GEMM peak", 3 * N_MAX * N_MAX, &matrices);
    if (status == HY_OK) {
        status = HY_NEW("bursts of the GEMM peak", BURSTS_MAX, &bursts);
    }
    status = hy_comm_agree(world, status);
    if (status == HY_OK) {
        for (int i = 0; i < 2 * N_MAX * N_MAX; i++) {
            matrices[i] = (float)(i % 17) * 0.1f;
        }
        describe(device, &mine);
        hy_comm_barrier(world);
        measure(device, matrices, bursts, &mine);
        *device = before; /* not part of the run's times */
    }
    hy_free(bursts);
    hy_free(matrices);
    return status == HY_OK ? gather(world, &mine, hosts, n_hosts) : status;
}
