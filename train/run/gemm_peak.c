#include "train/run/gemm_peak.h"

#include "base/clock.h"
#include "base/memory.h"

enum { N_MAX = HY_GEMM_PEAK_N, N_MIN = 128 };
static const double WARM_UP = 0.05, MEASURE = 0.25; /* seconds */

/* Best rate of n x n products within `seconds`; at least one. */
static double best_rate(hy_device *device, int64_t n, double seconds, const float *a, const float *b, float *c) {
    const double flops = 2.0 * (double)n * (double)n * (double)n, end = hy_now() + seconds;
    double best = 0.0;
    do {
        const double begin = hy_now();
        hy_gemm(device,
                &(hy_gemm_args){
                    .m = n, .n = n, .k = n, .alpha = 1.0, .a = a, .lda = n, .b = b, .ldb = n, .c = c, .ldc = n});
        const double rate = flops / (hy_now() - begin);
        best = rate > best ? rate : best;
    } while (hy_now() < end);
    return best;
}

static double measure(hy_device *device, float *matrices) {
    const int64_t size = N_MAX * N_MAX;
    for (int64_t i = 0; i < 2 * size; i++) {
        matrices[i] = (float)(i % 17) * 0.1f;
    }
    float *a = matrices, *b = matrices + size, *c = matrices + 2 * size;
    const double rate = best_rate(device, N_MIN, WARM_UP, a, b, c);
    const double large = 2.0 * N_MAX * N_MAX * N_MAX;
    return large / rate > MEASURE
               ? rate
               : best_rate(device, N_MAX, MEASURE, a, b, c); /* a slow table: the small ones will do */
}

hy_status hy_gemm_peak_measure(hy_comm *world, hy_device *device, double *flops_per_second) {
    const hy_op_counts before = *hy_device_counts(device);
    float *matrices = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("matrices of the GEMM peak", 3 * N_MAX * N_MAX, &matrices)));
    hy_comm_barrier(world);
    double rate = measure(device, matrices);
    hy_free(matrices);
    *hy_device_counts(device) = before; /* not part of the run's times */
    hy_req req = {0};
    hy_comm_all_reduce(world, "GEMM peak", &rate, 1, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
    *flops_per_second = rate;
    return HY_OK;
}
