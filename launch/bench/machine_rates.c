#include "launch/bench/machine_rates.h"

#include "base/clock.h"
#include "base/memory.h"

static const double PATIENCE = 2;                              /* seconds */
enum { REPETITIONS = 5, COPY_ROWS = 2048, COPY_COLS = 16384 }; /* 128 MiB of floats */

static double best_gemm(hy_comm *comm, hy_device *device, char *matrices) {
    const int64_t n = HY_GEMM_RATE_N;
    const double flops = 2.0 * (double)n * (double)n * (double)n;
    const int64_t bytes = n * n * (int64_t)hy_dtype_size(hy_device_profile(device)->dtype);
    const void *a = matrices, *b = matrices + bytes;
    void *c = matrices + 2 * bytes;
    double best = 0, spent = 0;
    hy_fill(device, &(hy_fill_args){.n = 2 * n * n, .value = 0.1, .y = matrices});
    hy_comm_barrier(comm);
    for (int i = 0; i < REPETITIONS && spent < PATIENCE; i++) {
        const double begin = hy_now();
        hy_gemm(device, &(hy_gemm_args){
                            .m = n, .n = n, .k = n, .alpha = 1, .a = a, .lda = n, .b = b, .ldb = n, .c = c, .ldc = n});
        const double seconds = hy_now() - begin, rate = flops / seconds;
        spent += seconds;
        best = rate > best ? rate : best;
    }
    return best;
}

hy_status hy_gemm_rate(hy_comm *comm, hy_dtype dtype, double *flops_per_second) {
    hy_device *device = NULL;
    char *matrices = NULL;
    hy_status status = hy_device_create("cpu", dtype, &device);
    if (status == HY_OK) {
        status =
            HY_NEW("matrices of the GEMM rate", 3 * HY_GEMM_RATE_N * HY_GEMM_RATE_N * hy_dtype_size(dtype), &matrices);
    }
    status = hy_comm_agree(comm, status);
    if (status == HY_OK) {
        double rate = best_gemm(comm, device, matrices);
        hy_req req = {0};
        hy_comm_all_reduce(comm, "GEMM rate", &rate, 1, HY_TYPE_F64, HY_SUM, &req);
        hy_comm_wait(&req);
        *flops_per_second = rate;
    }
    hy_free(matrices);
    hy_device_destroy(device);
    return status;
}

hy_status hy_copy_rate(double *bytes_per_second) {
    const size_t count = (size_t)COPY_ROWS * COPY_COLS;
    float *from = NULL, *to = NULL;
    hy_status status = HY_NEW("memory to copy from", count, &from);
    if (status == HY_OK) {
        status = HY_NEW("memory to copy to", count, &to);
    }
    double best = 0;
    for (int i = 0; i < REPETITIONS && status == HY_OK; i++) {
        const double begin = hy_now();
#pragma omp parallel for schedule(static)
        for (int64_t row = 0; row < COPY_ROWS; row++) {
            for (int64_t j = 0; j < COPY_COLS; j++) {
                to[row * COPY_COLS + j] = from[row * COPY_COLS + j];
            }
        }
        const double rate = 2.0 * (double)(count * sizeof *to) / (hy_now() - begin);
        best = rate > best ? rate : best;
    }
    hy_free(from);
    hy_free(to);
    if (status == HY_OK) {
        *bytes_per_second = best;
    }
    return status;
}
