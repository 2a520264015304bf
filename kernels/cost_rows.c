/* Costs of what works on elements and rows: memory, products, norms, gates, features, embedding, loss, optimizer. */
#include <math.h>

#include "kernels/cost_internal.h"

typedef const hy_cost_env *env;

/* ---- memory ---- */

hy_cost hy_cost_fill(const hy_fill_args *a, env e) {
    return (hy_cost){0, (double)a->n * hy_role_bytes(e, a->role)};
}

hy_cost hy_cost_values(const hy_values_args *a, env e) {
    return (hy_cost){0, (double)a->n * hy_role_bytes(e, a->role)};
}

hy_cost hy_cost_copy2d(const hy_copy2d_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){a->acc ? n : 0, n * (hy_role_bytes(e, a->from) + (a->acc ? 2 : 1) * hy_role_bytes(e, a->to))};
}

hy_cost hy_cost_copy_blocks(const hy_copy_blocks_args *a, env e) {
    const hy_block *blocks = hy_cost_list(e, a->blocks);
    const double element = hy_role_bytes(e, a->role);
    double copied = 0, zeros = 0;
    for (int64_t i = 0; i < a->n_blocks; i++) {
        *(blocks[i].from < 0 ? &zeros : &copied) += hy_elements(blocks[i].rows, blocks[i].cols) * (double)a->unit;
    }
    return (hy_cost){a->acc ? copied : 0, element * (zeros + copied * (a->acc ? 3 : 2))};
}

hy_cost hy_cost_transpose(const hy_transpose_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){a->acc ? n : 0, n * e->act * (a->acc ? 3 : 2)};
}

hy_cost hy_cost_axpy(const hy_axpy_args *a, env e) {
    const double n = (double)a->n;
    return (hy_cost){n * (a->acc ? 2 : 1),
                     n * (hy_role_bytes(e, a->from) + (a->acc ? 2 : 1) * hy_role_bytes(e, a->to))};
}

hy_cost hy_cost_add(const hy_add_args *a, env e) {
    return (hy_cost){(double)a->n, 3 * (double)a->n * e->act};
}

hy_cost hy_cost_rows_add(const hy_rows_add_args *a, env e) {
    const hy_row_block *blocks = hy_cost_list(e, a->blocks);
    double n = 0;
    for (int64_t b = 0; b < a->n_blocks; b++) {
        n += hy_elements(blocks[b].n, a->cols);
    }
    return (hy_cost){n, 3 * n * e->stat + (double)a->n_blocks * sizeof *a->blocks};
}

hy_cost hy_cost_repeat_fwd(const hy_repeat_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){0, n * (hy_role_bytes(e, a->from) + (double)a->repeat * hy_role_bytes(e, a->to))};
}

hy_cost hy_cost_repeat_bwd(const hy_repeat_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), repeat = (double)a->repeat;
    return (hy_cost){n * (repeat - !a->acc),
                     n * (repeat * hy_role_bytes(e, a->to) + (a->acc ? 2 : 1) * hy_role_bytes(e, a->from))};
}

/* ---- products ---- */

hy_cost hy_cost_gemm(const hy_gemm_args *a, env e) {
    const double m = (double)a->m, n = (double)a->n, k = (double)a->k;
    const int adds = a->beta != 0;
    return (hy_cost){2 * m * n * k, m * k * hy_role_bytes(e, a->a_role) + k * n * hy_role_bytes(e, a->b_role) +
                                        m * n * hy_role_bytes(e, a->c_role) * (adds ? 2 : 1)};
}

hy_cost hy_cost_bias_fwd(const hy_bias_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){n, 2 * n * hy_role_bytes(e, a->role) + (double)a->cols * e->stat};
}

hy_cost hy_cost_bias_bwd(const hy_bias_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){n, n * hy_role_bytes(e, a->role) + 2 * (double)a->cols * e->grad};
}

hy_cost hy_cost_embed_fwd(const hy_embed_args *a, env e) {
    return (hy_cost){0, hy_elements(a->T, a->D) * (e->weight + e->act) + (double)a->T * sizeof(int32_t)};
}

hy_cost hy_cost_embed_bwd(const hy_embed_args *a, env e) {
    const double n = hy_elements(a->T, a->D);
    return (hy_cost){n, n * (e->act + 2 * e->grad) + (double)a->T * sizeof(int32_t)};
}

static double act_flops(hy_act act) {
    static const double of_act[] = {
        [HY_ACT_IDENTITY] = 0,   [HY_ACT_SIGMOID] = 3, [HY_ACT_SILU] = 4,    [HY_ACT_RELU] = 1,
        [HY_ACT_RELU2] = 2,      [HY_ACT_ELU1] = 2,    [HY_ACT_TANH] = 1,    [HY_ACT_SOFTPLUS] = 3,
        [HY_ACT_LOGSIGMOID] = 3, [HY_ACT_EXP] = 1,     [HY_ACT_NEG_EXP] = 2, [HY_ACT_SQUARE] = 1};
    return of_act[act];
}

/* ---- norms ---- */

/* What a norm of a sum adds: the branch is read, the sum written. */
static hy_cost of_sum(const void *branch, double n, env e) {
    return (hy_cost){hy_there(branch, n, 1), hy_there(branch, 2 * n, e->act)};
}

/* What a gate adds to a norm: a product of act(gate), which is read. */
static hy_cost of_gate(const hy_rmsnorm_args *a, double n, env e) {
    return (hy_cost){hy_there(a->gate, n, 1 + act_flops(a->act)), hy_there(a->gate, n, e->act)};
}

hy_cost hy_cost_rmsnorm_fwd(const hy_rmsnorm_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), w = hy_elements(a->w_rows, a->cols);
    const hy_cost sum = of_sum(a->branch, n, e), gate = of_gate(a, n, e);
    return (hy_cost){sum.flops + gate.flops + n * (a->w ? 4 : 3) + 3 * (double)a->rows,
                     sum.bytes + gate.bytes + 2 * n * e->act + hy_there(a->w, w, e->stat)};
}

hy_cost hy_cost_rmsnorm_bwd(const hy_rmsnorm_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), w = hy_elements(a->w_rows, a->cols);
    const hy_cost gate = of_gate(a, n, e);
    return (hy_cost){gate.flops + n * ((a->dx ? 8 : 2) + (a->dw ? 3 : 0) + (a->dgate ? 6 : 0)),
                     gate.bytes + 2 * n * e->act + hy_written(a->dx, n, e->act, a->acc) +
                         hy_written(a->dgate, n, e->act, a->acc_gate) + hy_there(a->w, w, e->stat) +
                         hy_written(a->dw, w, e->grad, 1)};
}

hy_cost hy_cost_layernorm_fwd(const hy_layernorm_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), w = hy_elements(a->w_rows, a->cols);
    const hy_cost sum = of_sum(a->branch, n, e);
    return (hy_cost){sum.flops + n * (6 + (a->w != NULL) + (a->b != NULL)) + 4 * (double)a->rows,
                     sum.bytes + 2 * n * e->act + hy_there(a->w, w, e->stat) + hy_there(a->b, w, e->stat)};
}

hy_cost hy_cost_layernorm_bwd(const hy_layernorm_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), w = hy_elements(a->w_rows, a->cols);
    return (hy_cost){n * ((a->dx ? 12 : 6) + (a->dw ? 2 : 0) + (a->db ? 1 : 0)),
                     2 * n * e->act + hy_written(a->dx, n, e->act, a->acc) + hy_there(a->w, w, e->stat) +
                         hy_written(a->dw, w, e->grad, 1) + hy_written(a->db, w, e->grad, 1)};
}

static hy_cost rows_fwd(const hy_l2norm_args *a, env e, double flops) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){flops * n, 2 * n * e->act};
}

static hy_cost rows_bwd(const hy_l2norm_args *a, env e, double flops) {
    const double n = hy_elements(a->rows, a->cols);
    return (hy_cost){flops * n, n * e->act * (a->acc ? 4 : 3)};
}

hy_cost hy_cost_l2norm_fwd(const hy_l2norm_args *a, env e) {
    return rows_fwd(a, e, 3);
}
hy_cost hy_cost_l2norm_bwd(const hy_l2norm_args *a, env e) {
    return rows_bwd(a, e, 7);
}
hy_cost hy_cost_sumnorm_fwd(const hy_l2norm_args *a, env e) {
    return rows_fwd(a, e, 2);
}
hy_cost hy_cost_sumnorm_bwd(const hy_l2norm_args *a, env e) {
    return rows_bwd(a, e, 5);
}

/* ---- elementwise ---- */

hy_cost hy_cost_unary_fwd(const hy_unary_args *a, env e) {
    const double n = (double)a->n;
    return (hy_cost){n * (act_flops(a->act) + 1), n * (hy_role_bytes(e, a->from) + hy_role_bytes(e, a->to))};
}

hy_cost hy_cost_unary_bwd(const hy_unary_args *a, env e) {
    const double n = (double)a->n, x = hy_role_bytes(e, a->from);
    return (hy_cost){n * (act_flops(a->act) + 3), n * (x * (a->acc ? 3 : 2) + hy_role_bytes(e, a->to))};
}

hy_cost hy_cost_glu_fwd(const hy_glu_args *a, env e) {
    const double n = (double)a->n, z = n / (double)(a->group > 0 ? a->group : 1);
    return (hy_cost){n + z * act_flops(a->act), 2 * n * e->act + z * hy_role_bytes(e, a->z_role)};
}

hy_cost hy_cost_glu_bwd(const hy_glu_args *a, env e) {
    const double n = (double)a->n, z = n / (double)(a->group > 0 ? a->group : 1), zb = hy_role_bytes(e, a->z_role);
    return (hy_cost){3 * n + z * (act_flops(a->act) + 3), 2 * n * e->act + z * zb +
                                                              hy_written(a->da, n, e->act, a->acc_a) +
                                                              hy_written(a->dz, z, zb, a->acc_z)};
}

hy_cost hy_cost_rope(const hy_rope_args *a, env e) {
    const double turned = hy_elements(a->T, a->rot) / 2;
    return (hy_cost){turned * (6 * (double)a->H + 3),
                     hy_elements(a->T, a->H) * (double)a->D * e->act * (a->acc ? 3 : 2) +
                         (double)a->T * sizeof(int64_t)};
}

hy_cost hy_cost_decay_gate_fwd(const hy_decay_gate_args *a, env e) {
    const double n = hy_elements(a->T, a->H) * (double)a->K;
    return (hy_cost){n * (a->dt_bias ? 6 : 5), n * (e->act + e->stat) + (double)a->H * e->stat +
                                                   hy_there(a->dt_bias, hy_elements(a->H, a->K), e->stat)};
}

hy_cost hy_cost_decay_gate_bwd(const hy_decay_gate_args *a, env e) {
    const double n = hy_elements(a->T, a->H) * (double)a->K, bias = hy_elements(a->H, a->K);
    return (hy_cost){n * 10, n * (e->act * (a->acc ? 3 : 2) + e->stat) + (double)a->H * (e->stat + 2 * e->grad) +
                                 hy_there(a->dt_bias, bias, e->stat) + hy_written(a->ddt_bias, bias, e->grad, 1)};
}

hy_cost hy_cost_scale_fwd(const hy_scale_args *a, env e) {
    const double n = hy_elements(a->T, a->cols), r = hy_role_bytes(e, a->role), w = (double)(a->cols / a->group);
    return (hy_cost){n * (a->add ? 2 : 1) + w * act_flops(a->act),
                     n / (double)a->expand * r + hy_there(a->add, n, r) + n * r + w * e->stat};
}

hy_cost hy_cost_scale_bwd(const hy_scale_args *a, env e) {
    const double n = hy_elements(a->T, a->cols), r = hy_role_bytes(e, a->role), w = (double)(a->cols / a->group);
    return (hy_cost){4 * n + w * (act_flops(a->act) + 2),
                     n / (double)a->expand * r * (a->acc ? 3 : 2) + n * r + w * (e->stat + 2 * e->grad)};
}

/* ---- features ---- */

static double feature_flops(hy_feature_kind kind) {
    return kind == HY_FEATURES_DPFP ? 1 : kind == HY_FEATURES_TAYLOR || kind == HY_FEATURES_SQUARE ? 2 : 3;
}

hy_cost hy_cost_feature_fwd(const hy_feature_args *a, env e) {
    const double out = hy_elements(a->rows, hy_feature_cols(a->kind, a->cols));
    return (hy_cost){out * feature_flops(a->kind), (hy_elements(a->rows, a->cols) + out) * e->act};
}

hy_cost hy_cost_feature_bwd(const hy_feature_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), out = hy_elements(a->rows, hy_feature_cols(a->kind, a->cols));
    return (hy_cost){2 * out * feature_flops(a->kind), (n * (a->acc ? 3 : 2) + out) * e->act};
}

hy_cost hy_cost_ratio_fwd(const hy_ratio_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), rows = (double)a->rows;
    return (hy_cost){n + rows, (2 * n + rows) * e->act};
}

hy_cost hy_cost_ratio_bwd(const hy_ratio_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), rows = (double)a->rows;
    return (hy_cost){3 * n + 2 * rows, ((n + rows) * (a->acc ? 3 : 2) + n) * e->act};
}

hy_cost hy_cost_own_fwd(const hy_own_args *a, env e) {
    const double q = hy_elements(a->rows, a->cols), v = hy_elements(a->rows, a->V);
    return (hy_cost){2 * q + 2 * v + 2 * (double)a->rows, (2 * q + 2 * v) * e->act + hy_there(a->add, v, e->act)};
}

hy_cost hy_cost_own_bwd(const hy_own_args *a, env e) {
    const double q = hy_elements(a->rows, a->cols), v = hy_elements(a->rows, a->V);
    return (hy_cost){6 * q + 4 * v + 4 * (double)a->rows,
                     (2 * q + 2 * v) * e->act + hy_written(a->dq, q, e->act, a->acc_q) +
                         hy_written(a->dk, q, e->act, a->acc_k) + hy_written(a->dv, v, e->act, a->acc_v)};
}

hy_cost hy_cost_bound_fwd(const hy_bound_args *a, env e) {
    const double n = hy_elements(a->layers, a->C);
    return (hy_cost){4 * n, (n + (double)a->C) * e->stat};
}

hy_cost hy_cost_bound_bwd(const hy_bound_args *a, env e) {
    const double n = hy_elements(a->layers, a->C);
    return (hy_cost){8 * n, (n + (double)a->C) * e->stat + 2 * n * e->grad};
}

hy_cost hy_cost_bound_gate_fwd(const hy_bound_gate_args *a, env e) {
    const double n = hy_elements(a->T, a->C);
    return (hy_cost){8 * n, n * (2 * e->act + e->stat) + hy_there(a->bound, (double)a->C, e->stat)};
}

hy_cost hy_cost_bound_gate_bwd(const hy_bound_gate_args *a, env e) {
    const double n = hy_elements(a->T, a->C);
    return (hy_cost){14 * n, n * (e->act * (a->acc ? 4 : 3) + e->stat) + hy_there(a->bound, (double)a->C, e->stat) +
                                 hy_written(a->dbound, (double)a->C, e->stat, 1)};
}

hy_cost hy_cost_lerp_fwd(const hy_lerp_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), c = (double)a->cols;
    hy_cost cost = {0, 2 * n * e->act};
    for (int i = 0; i < a->parts; i++) {
        cost.flops += (a->act == HY_ACT_IDENTITY ? 3 : 7) * n + hy_there(a->m[i], n, 1);
        cost.bytes += n * e->act + c * e->stat + hy_there(a->m[i], n, e->act);
    }
    return cost;
}

hy_cost hy_cost_lerp_bwd(const hy_lerp_args *a, env e) {
    const double n = hy_elements(a->rows, a->cols), c = (double)a->cols;
    hy_cost cost = {0,
                    2 * n * e->act + hy_written(a->dx, n, e->act, a->acc_x) + hy_written(a->dz, n, e->act, a->acc_z)};
    for (int i = 0; i < a->parts; i++) {
        cost.flops += (a->act == HY_ACT_IDENTITY ? 8 : 14) * n + hy_there(a->m[i], n, 1);
        cost.bytes += n * e->act + c * (e->stat + 2 * e->grad) + hy_there(a->m[i], 2 * n, e->act);
    }
    return cost;
}

/* ---- loss, optimizer ---- */

hy_cost hy_cost_cross_entropy(const hy_cross_entropy_args *a, env e) {
    const double n = hy_elements(a->rows, a->vocab);
    return (hy_cost){n * (a->grad ? 5 : 3), n * (e->stat + (a->grad ? e->act : 0)) + (double)a->rows * sizeof(int32_t) +
                                                hy_there(a->row_loss, (double)a->rows, sizeof(double)) +
                                                hy_there(a->row_correct, (double)a->rows, 1)};
}

hy_cost hy_cost_sumsq(const hy_sumsq_args *a, env e) {
    return (hy_cost){2 * (double)a->n, (double)a->n * e->grad};
}

hy_cost hy_cost_adamw(const hy_adamw_args *a, env e) {
    double n = 0;
    for (int64_t i = 0; i < a->n_segments; i++) {
        n += (double)a->segments[i].n;
    }
    return (hy_cost){14 * n, n * (e->grad + 6 * e->stat) + hy_there(a->copy, n, hy_role_bytes(e, a->copy_role))};
}
