/* The operations whose kernels are hot (recurrences in chunks and channels, softmax attention, mixed products) of sizes to choose, on
 * the tables of `cuda_host`: inputs drawn, outputs kept. */
#ifndef HY_TESTS_HOT_OPS_H
#define HY_TESTS_HOT_OPS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/random.h"
#include "kernels/device_internal.h"

typedef enum hot_kind { HOT_RECUR, HOT_CHANNELS, HOT_ATTENTION, HOT_PRODUCT, HOT_KINDS } hot_kind;

typedef struct hot_op {
    const char *name;
    hot_kind kind;
    hy_dtype dtype;
    hy_rule rule;     /* HOT_RECUR */
    int64_t T, width; /* channels of keys and values */
} hot_op;

enum { HOT_ARRAYS = 32, HOT_SLOTS = 2 };

typedef struct hot_run {
    const hot_op *op;
    hy_device *device;
    uint64_t seed;
    void *inputs[HOT_ARRAYS], *outputs[HOT_ARRAYS];
    size_t output_bytes[HOT_ARRAYS];
    int n_inputs, n_outputs;
    void *work;
} hot_run;

/* n numbers in [low, high) of the role's type. */
static inline void *hot_in(hot_run *h, hy_role role, int64_t n, double low, double high) {
    const int half = hy_dtype_of(h->op->dtype, role) == HY_BF16;
    void *data = h->inputs[h->n_inputs++] = aligned_alloc(64, ((size_t)n * 4 + 127) / 64 * 64);
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)(low + (high - low) * hy_random_uniform(h->seed, (uint64_t)h->n_inputs, (uint64_t)i));
        if (half)
            ((uint16_t *)data)[i] = hy_float_to_bf16(x);
        else
            ((float *)data)[i] = x;
    }
    return data;
}

static inline void *hot_out(hot_run *h, int64_t n) {
    const size_t bytes = ((size_t)n * 4 + 127) / 64 * 64;
    h->output_bytes[h->n_outputs] = bytes;
    return h->outputs[h->n_outputs++] = memset(aligned_alloc(64, bytes), 0, bytes);
}

static inline void *hot_work(hot_run *h, size_t bytes) {
    free(h->work);
    bytes = (bytes + 127) / 64 * 64;
    return h->work = memset(aligned_alloc(64, bytes), 0xFF, bytes);
}

static inline void hot_recur(hot_run *h) {
    const hot_op *op = h->op;
    const int channels = op->kind == HOT_CHANNELS;
    const int64_t T = op->T, H = 1, HV = channels ? op->width : 1, K = channels ? 1 : op->width;
    const int64_t V = K, states = HOT_SLOTS * HV * K * V;
    const double size = 1 / sqrt((double)K);
    const hy_run runs[] = {{0, T - 7, 0, 1}, {T - 7, 7, 1, 0}};
    const hy_table *table = &h->device->table;
    hy_recur_args a = {.decay = HY_DECAY_SCALAR,
                       .rule = op->rule,
                       .T = T,
                       .H = H,
                       .HV = HV,
                       .K = K,
                       .V = V,
                       .scale = size,
                       .runs = runs,
                       .n_runs = 2,
                       .run_tokens = T,
                       .run_longest = T - 7};
    if (!channels) {
        a.q = hot_in(h, HY_ROLE_ACT, T * H * K, -1, 1);
        a.k = hot_in(h, HY_ROLE_ACT, T * H * K, -size, size);
    }
    a.v = hot_in(h, HY_ROLE_ACT, T * HV * V, -1, 1);
    a.d_o = hot_in(h, HY_ROLE_ACT, T * HV * V, -1, 1);
    a.g = hot_in(h, HY_ROLE_STAT, T * HV, -0.2, 0);
    a.beta = hot_in(h, HY_ROLE_STAT, T * HV, 0, 1);
    a.S0 = hot_in(h, HY_ROLE_STAT, states, -1, 1);
    a.dS1 = hot_in(h, HY_ROLE_STAT, states, -1, 1);
    a.o = hot_out(h, T * HV * V);
    a.S1 = hot_out(h, states);
    a.H_map = hot_out(h, states);
    a.A_map = hot_out(h, HOT_SLOTS * HV * hy_transition_size(a.decay, a.rule, K));
    a.dH = hot_out(h, states);
    a.dS0 = hot_out(h, states);
    a.dv = hot_out(h, T * HV * V);
    a.dg = hot_out(h, T * HV);
    a.dbeta = hot_out(h, T * HV);
    if (!channels) {
        a.dq = hot_out(h, T * H * K);
        a.dk = hot_out(h, T * H * K);
    }
    a.work = hot_work(h, table->recur_work(&a));
    table->recur_map(&a);
    table->recur_fwd(&a);
    table->recur_inject(&a);
    table->recur_map_bwd(&a);
    table->recur_bwd(&a);
}

/* Two pairs on the same queries, two heads of queries on one of keys. */
static inline void hot_attention(hot_run *h) {
    const int64_t T = h->op->T, D = h->op->width, H = 2, n = T * H * D, n_keys = T * D;
    const hy_attn_pair pairs[] = {{0, T, T, 0, T / 2, T / 2}, {0, T, T, T / 2, T - T / 2, T}};
    const hy_table *table = &h->device->table;
    int64_t *lo = h->inputs[h->n_inputs++] = calloc((size_t)T, sizeof *lo);
    hy_attn_args a = {.H = H,
                      .HKV = 1,
                      .D = D,
                      .DV = D,
                      .scale = 1 / sqrt((double)D),
                      .pairs = pairs,
                      .n_pairs = 2,
                      .nq = T,
                      .nk = T - T / 2,
                      .lo = lo};
    a.q = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    a.k = hot_in(h, HY_ROLE_ACT, n_keys, -1, 1);
    a.v = hot_in(h, HY_ROLE_ACT, n_keys, -1, 1);
    a.d_o = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    a.delta = hot_in(h, HY_ROLE_STAT, T * H, -1, 1);
    a.o = hot_out(h, n);
    a.lse = hot_out(h, T * H);
    a.dq = hot_out(h, n);
    a.dk = hot_out(h, n_keys);
    a.dv = hot_out(h, n_keys);
    for (int64_t i = 0; i < T * H; i++)
        ((float *)a.lse)[i] = -INFINITY;
    a.work = hot_work(h, table->attn_work(&a));
    table->attn_fwd(&a);
    table->attn_bwd(&a);
}

/* A factor in bfloat16, the other in float, where there are two types; else without any terms. */
static inline void hot_product(hot_run *h) {
    const int64_t m = h->op->T, n = h->op->width, k = h->op->dtype == HY_BF16 ? 37 : 0;
    hy_gemm_args a = {.m = m, .n = n, .k = k, .alpha = 1, .lda = k > 0 ? k : 1, .ldb = n, .ldc = n};
    a.a_role = HY_ROLE_ACT;
    a.b_role = a.c_role = HY_ROLE_STAT;
    a.a = hot_in(h, a.a_role, m * k + 1, -1, 1);
    a.b = hot_in(h, a.b_role, n * k + 1, -1, 1);
    a.c = hot_out(h, m * n);
    h->device->table.gemm(&a);
}

/* Everything the operation has, forward and backward, on numbers drawn from `seed`; hot_fini frees it. */
static inline void hot_run_op(hot_run *h, const hot_op *op, uint64_t seed) {
    static void (*const all[HOT_KINDS])(hot_run *) = {hot_recur, hot_recur, hot_attention, hot_product};
    *h = (hot_run){.op = op, .seed = seed};
    if (hy_device_create("cuda_host", op->dtype, &h->device) != HY_OK)
        abort();
    all[op->kind](h);
}

static inline void hot_fini(hot_run *h) {
    for (int i = 0; i < h->n_inputs; i++)
        free(h->inputs[i]);
    for (int i = 0; i < h->n_outputs; i++)
        free(h->outputs[i]);
    free(h->work);
    hy_device_destroy(h->device);
}

static inline int hot_equal(const hot_run *a, const hot_run *b) {
    int equal = a->n_outputs == b->n_outputs;
    for (int i = 0; equal && i < a->n_outputs; i++)
        equal = memcmp(a->outputs[i], b->outputs[i], a->output_bytes[i]) == 0;
    return equal;
}

#endif
