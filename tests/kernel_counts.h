/* How many kernels a call of an operation launches on GPUs: what follows from its arguments' sizes and flags, never from its lists. Sums over rows
 * are one kernel, or two where there are rows for several parts (column_sums.cuh). */
#ifndef HY_TESTS_KERNEL_COUNTS_H
#define HY_TESTS_KERNEL_COUNTS_H

#include "kernels/kernels.h"

enum { UNSTATED = -1 }; /* depends on more than is stated here */

static inline int64_t sum_kernels(int64_t rows, int64_t columns) {
    const int64_t parts = (rows + 127) / 128, most = 1024 / ((columns + 31) / 32 + (columns == 0));
    return columns == 0 ? 0 : 1 + ((parts < most ? parts : most) > 1);
}

/* A layer norm's, or without db an RMS norm's. */
static inline int64_t norm_kernels(int64_t rows, int64_t cols, int64_t w_rows, bool dx, bool dw, bool db) {
    const int64_t sums = rows > 0 ? sum_kernels(rows / w_rows, w_rows * cols) : 0;
    return rows == 0 ? 0 : (dx || dw) + (dw ? sums : 0) + (db ? sums : 0);
}

/* ---- recurrences: in chunks (the table of chunks, what is inside them, then a scan per phase), by channels, or by tokens ---- */

static inline bool is_chunked(const hy_recur_args *a) {
    return a->rule != HY_RULE_DPLR && (!a->exclusive || a->decay == HY_DECAY_VECTOR) && a->K >= 32 && a->K <= 256;
}

static inline bool is_channels(const hy_recur_args *a) {
    return a->K == 1 && a->V == 1 && a->q == NULL && a->k == NULL && a->rule == HY_RULE_ADDITIVE && !a->exclusive &&
           (a->decay == HY_DECAY_SCALAR || a->decay == HY_DECAY_VECTOR);
}

static inline int64_t recur_kernels(hy_op_id op, const hy_recur_args *a) {
    const bool chunks = is_chunked(a), channels = is_channels(a);
    const int64_t of_heads = (a->HV > a->H && a->H > 0) + (a->dg != NULL && a->decay == HY_DECAY_HEAD);
    switch (op) {
    case HY_OP_recur_inject:
        return a->S0 == NULL ? 0 : chunks ? 3 : 1;
    case HY_OP_recur_map:
        return (chunks ? 3 : 1) + (!channels && a->A_map != NULL);
    case HY_OP_recur_bwd: /* states and their gradients; what is inside; sums over heads */
        return channels ? 2 : (chunks ? 5 : 1) + of_heads;
    default:
        return chunks ? 3 : 1;
    }
}

/* A pass per bit of a position, and as many again where states enter. */
static inline int64_t level_kernels(hy_op_id op, const hy_level_recur_args *args) {
    const hy_recur_args *a = &args->base;
    const bool entering = a->S0 != NULL || (op == HY_OP_level_bwd && a->dS0 != NULL) || op == HY_OP_level_map_bwd;
    int64_t n = op == HY_OP_level_fwd ? 2 : op == HY_OP_level_map_bwd ? 1 : 3 + (a->dS0 != NULL);
    for (int side = op == HY_OP_level_map_bwd; side < (entering ? 2 : 1); side++) {
        for (int64_t bit = 0; bit < args->N; bit++) {
            const bool forgets = side == 0 && bit < 5; /* short spans share chunks: decays of the pass's own */
            hy_recur_args pass = *a;
            pass.decay = forgets && a->decay != HY_DECAY_VECTOR ? HY_DECAY_SCALAR : a->decay;
            n += 2 + forgets + recur_kernels(op == HY_OP_level_map_bwd ? HY_OP_recur_map_bwd : HY_OP_recur_fwd, &pass);
            n += op == HY_OP_level_fwd ? 1 : 0;
            n += op == HY_OP_level_bwd ? recur_kernels(HY_OP_recur_bwd, &pass) + 1 : 0;
            n += op == HY_OP_level_bwd && forgets && a->decay == HY_DECAY_HEAD && a->dg != NULL;
        }
    }
    return n;
}

/* ---- all ---- */

/* Of what has one kernel where there is anything to do: how much there is; UNSTATED: not of this kind. */
static inline int64_t work_of_one_kernel(hy_op_id op, const void *args) {
    switch (op) {
    case HY_OP_fill:
        return ((const hy_fill_args *)args)->n;
    case HY_OP_values:
        return ((const hy_values_args *)args)->n;
    case HY_OP_copy2d:
        return ((const hy_copy2d_args *)args)->rows * ((const hy_copy2d_args *)args)->cols;
    case HY_OP_transpose:
        return ((const hy_transpose_args *)args)->rows * ((const hy_transpose_args *)args)->cols;
    case HY_OP_copy_blocks:
        return ((const hy_copy_blocks_args *)args)->n_blocks;
    case HY_OP_axpy:
        return ((const hy_axpy_args *)args)->n;
    case HY_OP_add:
        return ((const hy_add_args *)args)->n;
    case HY_OP_rows_add: {
        const hy_rows_add_args *a = args;
        return a->n_blocks * a->n * a->cols;
    }
    case HY_OP_embed_fwd:
    case HY_OP_embed_bwd:
        return ((const hy_embed_args *)args)->T;
    case HY_OP_conv_fwd: {
        const hy_conv_args *a = args;
        return a->n_runs * a->run_longest * a->C;
    }
    case HY_OP_map_fold:
        return ((const hy_map_fold_args *)args)->n_steps;
    case HY_OP_map_join:
        return ((const hy_map_join_args *)args)->n_joins;
    case HY_OP_attn_fwd:
        return ((const hy_attn_args *)args)->n_pairs;
    case HY_OP_attn_delta:
        return ((const hy_attn_delta_args *)args)->rows;
    default:
        return UNSTATED;
    }
}

static inline int64_t kernels_of_call(hy_op_id op, const void *args) {
    const int64_t work = work_of_one_kernel(op, args);
    if (work != UNSTATED) {
        return work > 0;
    }
    switch (op) {
    case HY_OP_gemm: /* the library's */
    case HY_OP_long_conv_fwd:
    case HY_OP_long_conv_bwd: /* by the powers of two of the longest document */
        return UNSTATED;
    case HY_OP_bias_bwd: {
        const hy_bias_args *a = args;
        return sum_kernels(a->rows, a->cols);
    }
    case HY_OP_rmsnorm_bwd: {
        const hy_rmsnorm_args *a = args;
        return norm_kernels(a->rows, a->cols, a->w_rows, a->dx != NULL || a->gate != NULL, a->dw != NULL, false);
    }
    case HY_OP_layernorm_bwd: {
        const hy_layernorm_args *a = args;
        return norm_kernels(a->rows, a->cols, a->w_rows, a->dx != NULL, a->dw != NULL, a->db != NULL);
    }
    case HY_OP_scale_bwd: {
        const hy_scale_args *a = args;
        return 1 + sum_kernels(a->T * a->group, a->cols / a->group);
    }
    case HY_OP_decay_gate_bwd: {
        const hy_decay_gate_args *a = args;
        return 1 + sum_kernels(a->T * a->K, a->H) + (a->ddt_bias != NULL ? sum_kernels(a->T, a->H * a->K) : 0);
    }
    case HY_OP_bound_gate_bwd: {
        const hy_bound_gate_args *a = args;
        return 1 + (a->dbound != NULL ? sum_kernels(a->T, a->C) : 0);
    }
    case HY_OP_lerp_bwd: {
        const hy_lerp_args *a = args;
        return 1 + sum_kernels(a->rows, a->parts * a->cols);
    }
    case HY_OP_bonus_bwd: {
        const hy_bonus_args *a = args;
        return 1 + sum_kernels(a->T, a->H * a->K);
    }
    case HY_OP_conv_bwd: /* dx; dx before the runs; parts of dw; their sum */
        return ((const hy_conv_args *)args)->n_runs > 0 ? 4 : 0;
    case HY_OP_attn_bwd: /* dq; dk, dv */
    case HY_OP_cross_entropy:
    case HY_OP_sumsq: /* parts, their sum */
    case HY_OP_map_compose:
        return 2;
    case HY_OP_adamw: /* segments travel in a launch's arguments */
        return (((const hy_adamw_args *)args)->n_segments + 119) / 120;
    case HY_OP_recur_map:
    case HY_OP_recur_fwd:
    case HY_OP_recur_inject:
    case HY_OP_recur_map_bwd:
    case HY_OP_recur_bwd:
        return recur_kernels(op, args);
    case HY_OP_level_fwd:
    case HY_OP_level_map_bwd:
    case HY_OP_level_bwd:
        return level_kernels(op, args);
    default:
        return 1;
    }
}

#endif
