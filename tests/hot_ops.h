/* The operations whose kernels are hot (recurrences in chunks and channels, levels, long convolutions, softmax attention, mixed products, and
 * what works on rows: hot_rows.h) of sizes to choose, on the tables of `cuda_host`: inputs drawn, outputs kept. */
#ifndef HY_TESTS_HOT_OPS_H
#define HY_TESTS_HOT_OPS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/random.h"
#include "kernels/device_internal.h"

typedef enum hot_kind {
    HOT_RECUR,
    HOT_CHANNELS,
    HOT_LEVELS,
    HOT_LONG_CONV,
    HOT_ATTENTION,
    HOT_PRODUCT,
    HOT_ROWS,
    HOT_KINDS
} hot_kind;

typedef struct hot_op {
    const char *name;
    hot_kind kind;
    hy_dtype dtype;
    hy_decay decay; /* of recurrences and levels */
    hy_rule rule;
    int64_t T, width; /* channels of keys and values, of rows */
    int64_t heads;    /* 0: 1 */
    int causal;       /* attention: one pair that sees what is before it; else two that are seen whole */
} hot_op;

enum { HOT_ARRAYS = 64, HOT_SLOTS = 2 };

typedef struct hot_run {
    const hot_op *op;
    hy_device *device;
    uint64_t seed;
    void *inputs[HOT_ARRAYS], *outputs[HOT_ARRAYS];
    size_t output_bytes[HOT_ARRAYS];
    int n_inputs, n_outputs;
    void *work;
    void (*called)(hy_op_id op, const void *args, hy_dtype dtype); /* told of every operation, where there is one */
    int nowhere; /* arrays are addresses and nothing else: for launches that are only counted */
} hot_run;

static inline void *hot_nowhere(const hot_run *h) {
    return (char *)NULL + 4096 * (1 + h->n_inputs + h->n_outputs);
}

/* An operation of the table. */
static inline void hot_call(hot_run *h, hy_op_id op, const void *args) {
    const int transforms = op == HY_OP_long_conv_fwd || op == HY_OP_long_conv_bwd; /* are more than launches */
    if (h->called != NULL)
        h->called(op, args, h->op->dtype);
    if (!h->nowhere || !transforms)
        hy_table_call(&h->device->table, op, args);
}

static inline int64_t hot_heads(const hot_run *h) {
    return h->op->heads > 0 ? h->op->heads : 1;
}

/* n numbers in [low, high) of the role's type. */
static inline void *hot_in(hot_run *h, hy_role role, int64_t n, double low, double high) {
    const int half = hy_dtype_of(h->op->dtype, role) == HY_BF16;
    if (h->nowhere) {
        h->inputs[h->n_inputs++] = NULL;
        return hot_nowhere(h);
    }
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
    if (h->nowhere) {
        h->outputs[h->n_outputs++] = NULL;
        return hot_nowhere(h);
    }
    return h->outputs[h->n_outputs++] = memset(aligned_alloc(64, bytes), 0, bytes);
}

static inline void *hot_work(hot_run *h, size_t bytes) {
    if (h->nowhere)
        return hot_nowhere(h);
    free(h->work);
    bytes = (bytes + 127) / 64 * 64;
    return h->work = memset(aligned_alloc(64, bytes), 0xFF, bytes);
}

/* Runs, keys, values, gates: what recurrences and levels have in common. `states`: of a slot and head. */
static inline hy_recur_args hot_recur_args(hot_run *h, const hy_run runs[2], int64_t states) {
    const hot_op *op = h->op;
    const int channels = op->kind == HOT_CHANNELS;
    const int64_t T = op->T, H = hot_heads(h), HV = channels ? op->width : H, K = channels ? 1 : op->width;
    const int64_t V = K, gates = T * HV * (op->decay == HY_DECAY_VECTOR ? K : 1), of_slots = HOT_SLOTS * HV * states;
    const double size = 1 / sqrt((double)K);
    hy_recur_args a = {.decay = op->decay,
                       .rule = op->rule,
                       .T = T,
                       .H = channels ? 1 : H,
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
        a.dq = hot_out(h, T * H * K);
        a.dk = hot_out(h, T * H * K);
    }
    a.v = hot_in(h, HY_ROLE_ACT, T * HV * V, -1, 1);
    a.d_o = hot_in(h, HY_ROLE_ACT, T * HV * V, -1, 1);
    a.g = hot_in(h, HY_ROLE_STAT, gates, -0.2, 0);
    a.beta = hot_in(h, HY_ROLE_STAT, T * HV, 0, 1);
    a.S0 = hot_in(h, HY_ROLE_STAT, of_slots, -1, 1);
    a.dS1 = hot_in(h, HY_ROLE_STAT, of_slots, -1, 1);
    a.o = hot_out(h, T * HV * V);
    a.S1 = hot_out(h, of_slots);
    a.dH = hot_out(h, of_slots);
    a.dS0 = hot_out(h, of_slots);
    a.dv = hot_out(h, T * HV * V);
    a.dg = hot_out(h, gates);
    a.dbeta = hot_out(h, T * HV);
    return a;
}

static inline void hot_recur(hot_run *h) {
    const hot_op *op = h->op;
    const hy_run runs[] = {{0, op->T - 7, 0, 1}, {op->T - 7, 7, 1, 0}};
    const int64_t K = op->kind == HOT_CHANNELS ? 1 : op->width;
    hy_recur_args a = hot_recur_args(h, runs, K * K);
    a.H_map = hot_out(h, HOT_SLOTS * a.HV * K * K);
    a.A_map = hot_out(h, HOT_SLOTS * a.HV * hy_transition_size(a.decay, a.rule, K));
    a.work = hot_work(h, h->device->table.recur_work(&a));
    hot_call(h, HY_OP_recur_map, &a);
    hot_call(h, HY_OP_recur_fwd, &a);
    hot_call(h, HY_OP_recur_inject, &a);
    hot_call(h, HY_OP_recur_map_bwd, &a);
    hot_call(h, HY_OP_recur_bwd, &a);
}

/* A run in the middle of a document, one at the beginning of another. */
static inline void hot_levels(hot_run *h) {
    enum { FIRST = 5 };
    const hot_op *op = h->op;
    const hy_run runs[] = {{0, op->T - 7, 0, 1}, {op->T - 7, 7, -1, 0}};
    int64_t *pos = h->inputs[h->n_inputs++] = calloc((size_t)op->T, sizeof *pos), N = 1;
    for (int64_t t = 0; t < op->T; t++)
        pos[t] = t < op->T - 7 ? FIRST + t : t - (op->T - 7);
    while (op->T + FIRST > (int64_t)1 << N)
        N++;
    hy_level_recur_args a = {.L = N + 1, .N = N, .pos = pos};
    a.base = hot_recur_args(h, runs, N * op->width * op->width);
    a.l = hot_in(h, HY_ROLE_STAT, op->T * a.base.HV * a.L, 0, 1);
    a.dl = hot_out(h, op->T * a.base.HV * a.L);
    a.base.work = hot_work(h, h->device->table.level_work(&a));
    hot_call(h, HY_OP_level_fwd, &a);
    hot_call(h, HY_OP_level_map_bwd, &a);
    hot_call(h, HY_OP_level_bwd, &a);
}

/* A short document and a long one. */
static inline void hot_long_conv(hot_run *h) {
    const int64_t T = h->op->T, C = h->op->width, docs[] = {0, 3, T};
    hy_long_conv_args a = {.C = C, .T = T, .L = T - 3, .docs = docs, .n_docs = 2};
    a.x = hot_in(h, HY_ROLE_ACT, C * T, -1, 1);
    a.h = hot_in(h, HY_ROLE_STAT, C * a.L, -1, 1);
    a.dy = hot_in(h, HY_ROLE_ACT, C * T, -1, 1);
    a.y = hot_out(h, C * T);
    a.dx = hot_out(h, C * T);
    a.dh = hot_out(h, C * a.L);
    a.work = h->nowhere ? NULL : hot_work(h, h->device->table.long_conv_work(&a));
    hot_call(h, HY_OP_long_conv_fwd, &a);
    hot_call(h, HY_OP_long_conv_bwd, &a);
}

/* Two pairs on the same queries, two heads of queries on one of keys; or a causal one. */
static inline void hot_attention(hot_run *h) {
    const int64_t T = h->op->T, D = h->op->width, H = 2 * hot_heads(h), n = T * H * D, n_keys = n / 2;
    const hy_attn_pair whole[] = {{0, T, T, 0, T / 2, T / 2}, {0, T, T, T / 2, T - T / 2, T}};
    const hy_attn_pair causal[] = {{0, T, 0, 0, T, 0}};
    const hy_table *table = &h->device->table;
    int64_t *lo = h->inputs[h->n_inputs++] = calloc((size_t)T, sizeof *lo);
    hy_attn_args a = {.H = H,
                      .HKV = H / 2,
                      .D = D,
                      .DV = D,
                      .scale = 1 / sqrt((double)D),
                      .pairs = h->op->causal ? causal : whole,
                      .n_pairs = h->op->causal ? 1 : 2,
                      .nq = T,
                      .nk = h->op->causal ? T : T - T / 2,
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
    for (int64_t i = 0; !h->nowhere && i < T * H; i++)
        ((float *)a.lse)[i] = -INFINITY;
    a.work = hot_work(h, table->attn_work(&a));
    hot_call(h, HY_OP_attn_fwd, &a);
    hot_call(h, HY_OP_attn_bwd, &a);
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
    hot_call(h, HY_OP_gemm, &a);
}

#include "tests/hot_rows.h"

/* Everything the operation has, forward and backward, on numbers drawn from `seed`; hot_fini frees it. `called` and `nowhere` are the
 * caller's. */
static inline void hot_run_op(hot_run *h, const hot_op *op, uint64_t seed) {
    static void (*const all[HOT_KINDS])(hot_run *) = {hot_recur,     hot_recur,   hot_levels, hot_long_conv,
                                                      hot_attention, hot_product, hot_rows};
    h->op = op;
    h->seed = seed;
    h->n_inputs = h->n_outputs = 0;
    h->work = NULL;
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
