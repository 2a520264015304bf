/* The products of a linear layer of `rows` tokens: forward, and backward to its input and to its weight. */
#include <stdio.h>

#include "kernels/device.h"
#include "launch/bench/bench.h"
#include "launch/bench/machine_rates.h"

typedef struct layer {
    int64_t rows, in, out;
} layer;

/* Of a model of width 256 (configs/bench-cpu.yaml), and of one of 1.3 billion parameters. */
static const layer layers[] = {
    {4096, 256, 256}, {4096, 256, 768}, {4096, 768, 256}, {2048, 2048, 2048}, {2048, 2048, 5632}};

enum { PASSES = 3, REPETITIONS = 20 };
static const char *const passes[PASSES] = {"x W^T", "dy W", "dy^T x"};

typedef struct product_bench {
    hy_device *device;
    void *x, *w, *y, *dw;
    hy_gemm_args product; /* the one that is measured */
} product_bench;

static void call_product(void *context) {
    const product_bench *b = context;
    hy_gemm(b->device, &b->product);
}

static hy_gemm_args product_of_layer(const product_bench *b, const layer *l, int pass) {
    if (pass == 0)
        return (hy_gemm_args){.trans_b = 1,
                              .m = l->rows,
                              .n = l->out,
                              .k = l->in,
                              .alpha = 1,
                              .a = b->x,
                              .lda = l->in,
                              .b = b->w,
                              .ldb = l->in,
                              .c = b->y,
                              .ldc = l->out,
                              .b_role = HY_ROLE_WEIGHT};
    if (pass == 1)
        return (hy_gemm_args){.m = l->rows,
                              .n = l->in,
                              .k = l->out,
                              .alpha = 1,
                              .a = b->y,
                              .lda = l->out,
                              .b = b->w,
                              .ldb = l->in,
                              .c = b->x,
                              .ldc = l->in,
                              .b_role = HY_ROLE_WEIGHT};
    return (hy_gemm_args){.trans_a = 1,
                          .m = l->out,
                          .n = l->in,
                          .k = l->rows,
                          .alpha = 1,
                          .a = b->y,
                          .lda = l->out,
                          .b = b->x,
                          .ldb = l->in,
                          .beta = 1,
                          .c = b->dw,
                          .ldc = l->in,
                          .c_role = HY_ROLE_GRAD};
}

/* Operations per second, the best of some within a second. */
static double rate_of(product_bench *b, const hy_gemm_args *a) {
    double best = 0, spent = 0;
    b->product = *a;
    for (int i = 0; i < REPETITIONS && spent < 1; i++) {
        const double seconds = hy_seconds_of_call(b->device, call_product, b);
        const double rate = 2.0 * (double)a->m * (double)a->n * (double)a->k / seconds;
        spent += seconds;
        best = rate > best ? rate : best;
    }
    return best;
}

static hy_status array_create(const char *what, const product_bench *b, int64_t n, hy_role role, void **out) {
    const hy_dtype dtype = hy_device_profile(b->device)->dtype;
    HY_TRY(hy_device_alloc(b->device, what, (size_t)n * hy_role_size(dtype, role), out));
    hy_fill(b->device, &(hy_fill_args){.n = n, .value = 0.01, .y = *out, .role = role});
    return HY_OK;
}

static hy_status reserve_products(product_bench *b, const layer *l) {
    HY_TRY(array_create("input of a product", b, l->rows * l->in, HY_ROLE_ACT, &b->x));
    HY_TRY(array_create("weight of a product", b, l->out * l->in, HY_ROLE_WEIGHT, &b->w));
    HY_TRY(array_create("output of a product", b, l->rows * l->out, HY_ROLE_ACT, &b->y));
    return array_create("gradient of a weight", b, l->out * l->in, HY_ROLE_GRAD, &b->dw);
}

static void release_products(product_bench *b) {
    hy_device_free(b->device, b->x);
    hy_device_free(b->device, b->w);
    hy_device_free(b->device, b->y);
    hy_device_free(b->device, b->dw);
    b->x = b->w = b->y = b->dw = NULL;
}

hy_status hy_bench_products(const char *table, hy_dtype dtype, hy_bench_product_fn report, void *context) {
    product_bench b = {.device = NULL};
    HY_TRY(hy_device_create(table, dtype, &b.device));
    hy_status status = HY_OK;
    for (size_t i = 0; i < sizeof layers / sizeof layers[0] && status == HY_OK; i++) {
        status = reserve_products(&b, &layers[i]);
        for (int pass = 0; pass < PASSES && status == HY_OK; pass++) {
            const hy_gemm_args a = product_of_layer(&b, &layers[i], pass);
            report(context, passes[pass], &a, rate_of(&b, &a));
        }
        release_products(&b);
    }
    hy_device_destroy(b.device);
    return status;
}
