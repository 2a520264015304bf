#include "launch/bench/machine_rates.h"

#include "base/clock.h"
#include "base/memory.h"

static const double PATIENCE = 2;                                                   /* seconds */
enum { REPETITIONS = 5, CALLS_IN_A_ROW = 10, COPY_ROWS = 2048, COPY_COLS = 16384 }; /* 128 MiB of floats */

static double seconds_of_calls(hy_device *device, hy_timed_fn call, void *context, int calls) {
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    const double begin = hy_now();
    for (int i = 0; i < calls; i++) {
        call(context);
    }
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    return (hy_now() - begin) / calls;
}

double hy_seconds_of_call(hy_device *device, hy_timed_fn call, void *context) {
    const double brief = 0.02; /* seconds; of what takes longer giving it is no part to speak of */
    const double seconds = seconds_of_calls(device, call, context, 1);
    return hy_device_is_async(device) && seconds < brief ? seconds_of_calls(device, call, context, CALLS_IN_A_ROW)
                                                         : seconds;
}

typedef struct square_product {
    hy_device *device;
    hy_gemm_args args;
} square_product;

static void call_gemm(void *context) {
    const square_product *p = context;
    hy_gemm(p->device, &p->args);
}

static double best_gemm(hy_comm *comm, hy_device *device, char *matrices) {
    const int64_t n = HY_GEMM_RATE_N;
    const double flops = 2.0 * (double)n * (double)n * (double)n;
    const int64_t bytes = n * n * (int64_t)hy_dtype_size(hy_device_profile(device)->dtype);
    square_product p = {device, {.m = n, .n = n, .k = n, .alpha = 1, .lda = n, .ldb = n, .ldc = n}};
    p.args.a = matrices;
    p.args.b = matrices + bytes;
    p.args.c = matrices + 2 * bytes;
    double best = 0, spent = 0;
    hy_fill(device, &(hy_fill_args){.n = 2 * n * n, .value = 0.1, .y = matrices});
    hy_comm_barrier(comm);
    for (int i = 0; i < REPETITIONS && spent < PATIENCE; i++) {
        const double seconds = hy_seconds_of_call(device, call_gemm, &p), rate = flops / seconds;
        spent += seconds;
        best = rate > best ? rate : best;
    }
    return best;
}

hy_status hy_gemm_rate(hy_comm *comm, const char *name, hy_dtype dtype, double *flops_per_second) {
    hy_device *device = NULL;
    void *matrices = NULL;
    hy_status status = hy_device_create(name, dtype, &device);
    if (status == HY_OK) {
        status = hy_device_alloc(device, "matrices of the GEMM rate",
                                 (size_t)3 * HY_GEMM_RATE_N * HY_GEMM_RATE_N * hy_dtype_size(dtype), &matrices);
    }
    status = hy_comm_agree(comm, status);
    if (status == HY_OK) {
        double rate = best_gemm(comm, device, matrices);
        hy_req req = {0};
        hy_comm_all_reduce(comm, "GEMM rate", &rate, 1, HY_TYPE_F64, HY_SUM, &req);
        hy_comm_wait(&req);
        *flops_per_second = rate;
    }
    hy_device_free(device, matrices);
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
