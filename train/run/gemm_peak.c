#include "train/run/gemm_peak.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/cpu/cpu_info.h"

enum { N_MAX = 512, N_MIN = 128, SIZES = 3, BURSTS_MIN = 3, MATRIX = N_MAX * N_MAX };
static const double SECONDS = 0.35, SECONDS_MAX = 60.0,
                    WARM_UP = 1.0 / 7; /* how long; the part of it that does not count */

/* ---- counting ---- */

void hy_burst_add(hy_burst_sum *thread, double flops, double wall, double cpu) {
    const double ran = cpu > 0.0 ? cpu : wall; /* a clock too coarse to see it */
    if (ran > 0.0 && flops / ran > thread->flops_per_second) {
        thread->flops_per_second = flops / ran;
    }
    thread->wall += wall;
    thread->cpu += cpu;
}

/* The host of ranks[first]. More threads than cores take turns. */
static hy_host_peak count_host(const hy_rank_peak *ranks, int first, int n) {
    hy_host_peak host = {.ranks = 0};
    hy_cores cores;
    double share = 0.0;
    memset(&cores, 0, sizeof cores);
    memcpy(host.host, ranks[first].host, sizeof host.host);
    memcpy(host.processor, ranks[first].processor, sizeof host.processor);
    for (int i = first; i < n; i++) {
        if (strcmp(ranks[i].host, host.host) == 0) {
            hy_cores_unite(&cores, &ranks[i].cores);
            host.ranks++;
            host.threads += ranks[i].threads;
            host.flops_per_second += ranks[i].flops_per_second;
            share += ranks[i].share;
        }
    }
    host.cores = hy_cores_count(&cores);
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

/* OpenMP threads that multiply side by side; a BLAS with threads of its own has them inside each product. */
static int measured_threads(void) {
    return hy_cpu_blas_has_own_threads() ? 1 : hy_cpu_threads();
}

int64_t hy_gemm_peak_bytes(void) {
    return (2 + measured_threads()) * (int64_t)MATRIX * (int64_t)sizeof(float);
}

static void take_burst(hy_device *device, const float *ab, float *c, int64_t n, hy_burst_sum *sum) {
    const double wall = hy_now(), cpu = thread_seconds();
    hy_gemm(device,
            &(hy_gemm_args){
                .m = n, .n = n, .k = n, .alpha = 1.0, .a = ab, .lda = n, .b = ab + MATRIX, .ldb = n, .c = c, .ldc = n});
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    const double own = hy_device_is_async(device) ? 0.0 : thread_seconds() - cpu; /* none of it is this thread's */
    hy_burst_add(sum, 2.0 * (double)(n * n * n), hy_now() - wall, own);
}

static double measured_seconds(void) {
    const char *text = getenv("HYLAS_PEAK_SECONDS");
    char *end = NULL;
    const double seconds = text != NULL ? strtod(text, &end) : 0.0;
    return seconds > 0.0 && seconds <= SECONDS_MAX && *end == '\0' ? seconds : SECONDS;
}

/* Sizes take turns: the large ones are the most efficient, the small ones are over before others get the core. A slow
 * table has only time for the smallest. */
static hy_burst_sum measure_thread(hy_device *device, const float *ab, float *c) {
    static const int64_t sizes[SIZES] = {N_MAX, N_MAX / 4 * 3, N_MAX / 2};
    const double begin = hy_now(), seconds = measured_seconds(), warm_up = WARM_UP * seconds;
    hy_burst_sum warm = {0.0, 0.0, 0.0}, sum = warm;
    do {
        take_burst(device, ab, c, N_MIN, &warm);
    } while (hy_now() < begin + warm_up);
    const double end = begin + seconds, flops_max = warm.flops_per_second * (seconds - warm_up);
    for (int turn = 0; turn < BURSTS_MIN || hy_now() < end; turn++) {
        const int64_t n = sizes[turn % SIZES];
        take_burst(device, ab, c, 2.0 * (double)(n * n * n) < flops_max ? n : N_MIN, &sum);
    }
    return sum;
}

/* `matrices`: two that are multiplied, and a product for each of n threads. */
static void measure_products(hy_device *const *devices, int n, float *matrices, hy_rank_peak *rank) {
    double wall = 0.0, cpu = 0.0, rate = 0.0;
    const int64_t wider = (int64_t)(sizeof(float) / hy_dtype_size(hy_device_profile(devices[0])->dtype));
    hy_fill(devices[0], &(hy_fill_args){.n = 2 * MATRIX * wider, .value = 0.3, .y = matrices});
#pragma omp parallel num_threads(n) reduction(+ : wall, cpu, rate)
    {
        float *c = matrices + (2 + omp_get_thread_num()) * MATRIX;
        const hy_burst_sum sum = measure_thread(devices[omp_get_thread_num()], matrices, c);
        wall += sum.wall;
        cpu += sum.cpu;
        rate += sum.flops_per_second;
    }
    rank->flops_per_second = rate;
    rank->share = cpu > 0.0 && cpu < wall ? cpu / wall : 1.0;
}

static void find_processor(const hy_profile *profile, char *text, size_t size) {
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
    snprintf(text, size, "%s, %s%s", model, profile->detail, profile->dtype == HY_BF16 ? ", bf16" : "");
}

static void describe_rank(const hy_profile *profile, hy_rank_peak *rank) {
    memset(rank, 0, sizeof *rank);
    (void)gethostname(rank->host, sizeof rank->host - 1);
    find_processor(profile, rank->processor, sizeof rank->processor);
    rank->threads = hy_cpu_threads();
    hy_cores_of_process(0, &rank->cores); /* none where the system does not tell: as if there were enough */
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

/* A device for each of at most n threads: none counts for another. One that has threads of its own is alone. */
static hy_status measure_on(const char *name, hy_dtype precision, int n, hy_device **devices, hy_comm *world,
                            hy_rank_peak *rank) {
    void *matrices = NULL;
    hy_profile profile;
    hy_status status = hy_profile_of(name, precision, &profile);
    if (status == HY_OK) {
        status = hy_device_create(name, precision, &devices[0]);
    }
    n = status == HY_OK && hy_device_is_async(devices[0]) ? 1 : n;
    for (int i = 1; i < n && status == HY_OK; i++) {
        status = hy_device_create(name, precision, &devices[i]);
    }
    if (status == HY_OK) {
        status = hy_device_alloc(devices[0], "matrices of the GEMM peak", (size_t)hy_gemm_peak_bytes(), &matrices);
    }
    status = hy_comm_agree(world, status);
    if (status == HY_OK) {
        describe_rank(&profile, rank);
        hy_comm_barrier(world);
        measure_products(devices, n, matrices, rank);
    }
    hy_device_free(devices[0], matrices);
    for (int i = 0; i < n; i++) {
        hy_device_destroy(devices[i]);
    }
    return status;
}

hy_status hy_gemm_peak_measure(hy_comm *world, const char *device, hy_dtype precision, hy_host_peak **hosts,
                               int *n_hosts) {
    const int n = measured_threads();
    hy_device **devices = NULL;
    hy_rank_peak mine;
    HY_TRY(hy_comm_agree(world, HY_NEW("devices of the GEMM peak", n, &devices)));
    const hy_status status = measure_on(device, precision, n, devices, world, &mine);
    hy_free(devices);
    HY_TRY(status);
    return gather(world, &mine, hosts, n_hosts);
}
