/* Costs: products and attention against counting, every operation has one that grows with its sizes, bytes from shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include "kernels/cost.h"

static double some[1]; /* an array that is there */

static hy_cost cost(hy_op_id op, const void *args) {
    return hy_cost_of(op, args, HY_F32, NULL);
}

static void test_gemm(void **unused) {
    (void)unused;
    const int64_t m = 7, n = 5, k = 3;
    double flops = 0;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t l = 0; l < k; l++) {
                flops += 2; /* c += a·b */
            }
        }
    }
    hy_gemm_args a = {.m = m, .n = n, .k = k, .a = some, .b = some, .c = some, .alpha = 1};
    assert_true(cost(HY_OP_gemm, &a).flops == flops);
    assert_true(cost(HY_OP_gemm, &a).bytes == 4.0 * (double)(m * k + k * n + m * n));
    a.beta = 1;
    assert_true(cost(HY_OP_gemm, &a).bytes == 4.0 * (double)(m * k + k * n + 2 * m * n));
    a.b_role = HY_ROLE_WEIGHT;
    a.c_role = HY_ROLE_GRAD;
    assert_true(hy_cost_of(HY_OP_gemm, &a, HY_BF16, NULL).bytes ==
                2.0 * (double)(m * k + k * n) + 4.0 * 2 * (double)(m * n));
}

/* Every pair of query and key, one by one. */
static double count_pairs(const int64_t *doc, int64_t window, int64_t q0, int64_t nq, int64_t k0, int64_t nk) {
    double pairs = 0;
    for (int64_t q = q0; q < q0 + nq; q++) {
        for (int64_t k = k0; k < k0 + nk; k++) {
            pairs += k <= q && doc[k] == doc[q] && (window == 0 || q - k < window);
        }
    }
    return pairs;
}

static void test_attention(void **unused) {
    (void)unused;
    enum { T = 61 };
    static const int64_t starts[][4] = {{0, T, T, T}, {0, 9, 10, 40}, {0, 1, 2, 3}};
    static const int64_t windows[] = {0, 1, 7, 100},
                         cuts[][4] = {{0, T, 0, T}, {20, 30, 0, 20}, {20, 30, 20, 30}, {33, 28, 5, 40}};
    for (int s = 0; s < 3; s++) {
        for (int w = 0; w < 4; w++) {
            int64_t doc[T], lo[T], at = 0;
            for (int64_t t = 0; t < T; t++) {
                at = at + 1 < 4 && starts[s][at + 1] == t ? at + 1 : at;
                doc[t] = at;
                const int64_t reach = windows[w] > 0 ? t - windows[w] + 1 : 0;
                lo[t] = starts[s][at] > reach ? starts[s][at] : reach;
            }
            for (int c = 0; c < 4; c++) {
                const int64_t q0 = cuts[c][0], nq = cuts[c][1], k0 = cuts[c][2], nk = cuts[c][3];
                const double pairs = count_pairs(doc, windows[w], q0, nq, k0, nk);
                const hy_attn_pair list[2] = {{.q = q0, .nq = nq, .q_begin = q0, .nk = nk, .k_begin = k0}, {.q = T}};
                const hy_attn_args a = {.H = 4, .HKV = 2, .D = 8, .DV = 6, .pairs = list, .n_pairs = 2, .lo = lo};
                assert_true(hy_pairs_seen(lo + q0, nq, q0, nk, k0) == pairs);
                assert_true(cost(HY_OP_attn_fwd, &a).flops == pairs * 4 * 2 * (8 + 6));
                assert_true(cost(HY_OP_attn_bwd, &a).flops == pairs * 4 * 2 * (3 * 8 + 2 * 6));
                assert_true(cost(HY_OP_attn_fwd, &a).bytes ==
                            4.0 * (double)(nq * 4 * 8 + nk * 2 * (8 + 6) + 2 * nq * 4 * (6 + 1)) + sizeof list);
            }
        }
    }
}

/* What the runs of a call have, of which a rank has more. Only runs that a state enters, or that somebody wants the state after, have parts in maps. */
static void test_runs(void **unused) {
    (void)unused;
    const hy_run runs[] = {{0, 10, 0, -1}, {10, 20, -1, -1}, {30, 5, -1, 0}};
    hy_recur_args a = {.T = 35,
                       .H = 1,
                       .HV = 2,
                       .K = 4,
                       .V = 8,
                       .runs = runs,
                       .n_runs = 3,
                       .q = some,
                       .k = some,
                       .v = some,
                       .o = some,
                       .S0 = some,
                       .S1 = some,
                       .H_map = some,
                       .d_o = some,
                       .dH = some};
    const hy_cost fwd = cost(HY_OP_recur_fwd, &a), inject = cost(HY_OP_recur_inject, &a),
                  map = cost(HY_OP_recur_map, &a);
    assert_true(fwd.flops == 35 * 2 * hy_recur_flops(HY_RULE_ADDITIVE, 4, 8));
    assert_true(fwd.bytes == 4.0 * (35 * (2 * 4 + 2 * 16) + 2 * 64));
    assert_true(inject.flops == 10 * 2 * 2.0 * 4 * 8);
    assert_true(inject.bytes == 4.0 * (10 * (2 * 4 + 2 * 16) + 64));
    assert_true(map.flops == 5 * 2 * 2.0 * 4 * 8);
    assert_true(map.bytes == 4.0 * (5 * (4 + 16) + 64));
    a.n_runs = 2;
    hy_conv_args conv = {.T = 35, .C = 8, .W = 4, .runs = runs, .n_runs = 3};
    hy_level_recur_args level = {.base = a, .L = 2, .N = 1, .pos = (const int64_t[35]){0}};
    const hy_cost all = cost(HY_OP_conv_fwd, &conv), levels = cost(HY_OP_level_fwd, &level);
    conv.n_runs = 2;
    level.base.n_runs = 1;
    assert_true(cost(HY_OP_recur_fwd, &a).flops == 30 * fwd.flops / 35);
    assert_true(35 * cost(HY_OP_conv_fwd, &conv).flops == 30 * all.flops);
    assert_true(30 * cost(HY_OP_level_fwd, &level).flops == 10 * levels.flops);
}

/* Calls for some of the runs cost together what one for all of them does: a call counts the tokens of its own runs. */
static void test_calls_for_some_runs(void **unused) {
    (void)unused;
    static const int64_t pos[35] = {[3] = 700, [12] = 65, [33] = 300};
    const hy_run runs[] = {{0, 10, -1, -1}, {10, 20, -1, -1}, {30, 5, -1, -1}};
    hy_recur_args recur = {.T = 35, .H = 1, .HV = 2, .K = 4, .V = 8, .q = some, .k = some, .v = some, .o = some};
    hy_conv_args conv = {.T = 35, .C = 6, .W = 4, .x = some, .w = some, .y = some, .dy = some};
    hy_level_recur_args levels = {.base = recur, .L = 12, .pos = pos};
    static const hy_op_id ops[] = {HY_OP_recur_fwd, HY_OP_recur_bwd, HY_OP_conv_fwd,
                                   HY_OP_conv_bwd,  HY_OP_level_fwd, HY_OP_level_bwd};
    const void *const args[] = {&recur, &recur, &conv, &conv, &levels, &levels};
    for (int i = 0; i < 6; i++) {
        double sum = 0;
        recur.n_runs = conv.n_runs = levels.base.n_runs = 1;
        for (int run = 0; run < 3; run++) {
            recur.runs = conv.runs = levels.base.runs = &runs[run];
            sum += cost(ops[i], args[i]).flops;
        }
        recur.n_runs = conv.n_runs = levels.base.n_runs = 3;
        recur.runs = conv.runs = levels.base.runs = runs;
        assert_true(sum > 0 && sum == cost(ops[i], args[i]).flops);
    }
}

/* ---- every operation ---- */

/* Arguments of every struct with sizes n, all arrays there, for the operations that take it. */
static hy_cost sample(hy_op_id op, int64_t n) {
    static int64_t lo[64], pos[64], docs[2];
    static hy_run run;
    static hy_attn_pair pair;
    static hy_adamw_segment segment;
    static hy_row_block rows;
    static hy_block block;
    static const hy_fold_step step = {0, 0, 0, 1, 2};
    static const hy_map_join_entry join = {0, 3};
    void *p = some;
    run = (hy_run){0, n, 0, 0};
    pair = (hy_attn_pair){.nq = n, .nk = n};
    segment = (hy_adamw_segment){.n = n};
    block = (hy_block){.rows = n, .cols = n};
    docs[1] = n;
    rows.n = n;
    for (int64_t t = 0; t < 64; t++) {
        pos[t] = t;
    }
    switch (op) {
#define ONE(op, args, ...)                                                                                             \
    case HY_OP_##op:                                                                                                   \
        return cost(HY_OP_##op, &(args##_args){__VA_ARGS__});
#define BOTH(op, args, ...) ONE(op##_fwd, args, __VA_ARGS__) ONE(op##_bwd, args, __VA_ARGS__)
        ONE(fill, hy_fill, .n = n)
        ONE(values, hy_values, .n = n)
        ONE(copy2d, hy_copy2d, .rows = n, .cols = n)
        ONE(copy_blocks, hy_copy_blocks, .blocks = &block, .n_blocks = 1, .unit = 1)
        ONE(transpose, hy_transpose, .rows = n, .cols = n)
        ONE(axpy, hy_axpy, .n = n)
        ONE(add, hy_add, .n = n)
        ONE(rows_add, hy_rows_add, .blocks = &rows, .n_blocks = 1, .cols = n)
        BOTH(repeat, hy_repeat, .rows = n, .repeat = 2, .cols = n)
        ONE(gemm, hy_gemm, .m = n, .n = n, .k = n)
        BOTH(bias, hy_bias, .rows = n, .cols = n)
        BOTH(embed, hy_embed, .T = n, .D = n)
        BOTH(rmsnorm, hy_rmsnorm, .rows = n, .cols = n, .w_rows = 1, .branch = p, .w = p, .gate = p, .dx = p,
             .dgate = p, .dw = p)
        BOTH(layernorm, hy_layernorm, .rows = n, .cols = n, .w_rows = 1, .branch = p, .w = p, .b = p, .dx = p, .dw = p,
             .db = p)
        BOTH(l2norm, hy_l2norm, .rows = n, .cols = n)
        BOTH(sumnorm, hy_l2norm, .rows = n, .cols = n)
        BOTH(unary, hy_unary, .n = n)
        BOTH(glu, hy_glu, .n = n, .group = 1, .da = p, .dz = p)
        ONE(rope, hy_rope, .T = n, .H = n, .D = n, .rot = n)
        BOTH(decay_gate, hy_decay_gate, .T = n, .H = n, .K = n)
        BOTH(scale, hy_scale, .T = n, .cols = n, .expand = 1, .group = 1)
        BOTH(feature, hy_feature, .rows = n, .cols = n)
        BOTH(ratio, hy_ratio, .rows = n, .cols = n)
        BOTH(own, hy_own, .rows = n, .cols = n, .V = n)
        BOTH(bound, hy_bound, .layers = n, .C = n)
        BOTH(bound_gate, hy_bound_gate, .T = n, .C = n)
        BOTH(lerp, hy_lerp, .rows = n, .cols = n, .parts = 1)
        BOTH(conv, hy_conv, .T = n, .C = n, .W = 4, .runs = &run, .n_runs = 1, .halo = p, .dhalo = p)
        BOTH(window_filter, hy_window_filter, .C = n, .G = n, .W = n)
        BOTH(modal_filter, hy_modal_filter, .C = n, .L = n, .N = n, .group = 1)
        BOTH(long_conv, hy_long_conv, .C = n, .T = n, .L = n, .docs = docs, .n_docs = 1)
#define RECUR .T = n, .H = 1, .HV = 1, .K = n, .V = n, .runs = &run, .n_runs = 1, .q = p, .k = p, .S0 = p, .dS0 = p
        ONE(recur_map, hy_recur, RECUR)
        BOTH(recur, hy_recur, RECUR)
        ONE(recur_inject, hy_recur, RECUR)
        ONE(recur_map_bwd, hy_recur, RECUR)
        BOTH(bonus, hy_bonus, .T = n, .H = n, .K = n, .V = n)
        BOTH(level, hy_level_recur, .base = {RECUR}, .L = 8, .N = 8, .pos = pos)
        ONE(level_map_bwd, hy_level_recur, .base = {RECUR}, .L = 8, .N = 8, .pos = pos)
        ONE(map_apply, hy_map_apply, .n = n, .K = n, .V = n, .a_size = n * n, .S = p, .H = p)
        ONE(map_fold, hy_map_fold, .n = n, .K = n, .V = n, .a_size = n * n, .steps = &step, .n_steps = 1)
        ONE(map_join, hy_map_join, .n = n, .K = n, .V = n, .a_size = n * n, .levels = 2, .joins = &join, .n_joins = 1)
        ONE(map_compose, hy_map_compose, .n = n, .K = n, .V = n, .a_size = n * n)
#define ATTN .H = n, .HKV = n, .D = n, .DV = n, .pairs = &pair, .n_pairs = 1, .lo = lo
        BOTH(attn, hy_attn, ATTN)
        ONE(attn_delta, hy_attn_delta, .rows = n, .DV = n)
        BOTH(latent_heads, hy_latent_heads, .T = n, .H = n, .nope = n, .rope = n, .DV = n)
        BOTH(attn_sink, hy_attn_sink, .T = n, .H = n, .N = n)
        ONE(cross_entropy, hy_cross_entropy, .rows = n, .vocab = n)
        ONE(sumsq, hy_sumsq, .n = n)
        ONE(adamw, hy_adamw, .segments = &segment, .n_segments = 1)
    case HY_OP_COUNT:
        break;
    }
    return (hy_cost){0};
}

static void test_every_operation(void **unused) {
    (void)unused;
    for (int op = 0; op < HY_OP_COUNT; op++) {
        const hy_cost none = sample((hy_op_id)op, 0), small = sample((hy_op_id)op, 4), large = sample((hy_op_id)op, 32);
        const bool moves_only = op == HY_OP_fill || op == HY_OP_values || op == HY_OP_copy2d ||
                                op == HY_OP_copy_blocks || op == HY_OP_transpose || op == HY_OP_embed_fwd ||
                                op == HY_OP_repeat_fwd || op == HY_OP_latent_heads_fwd;
        assert_true(none.flops == 0 && none.bytes < 1 << 10);
        if (!(small.bytes > 0 && large.bytes >= 7 * small.bytes)) {
            fail_msg("%s: bytes %g, %g", hy_op_name((hy_op_id)op), small.bytes, large.bytes);
        }
        if (!moves_only && !(small.flops > 0 && large.flops >= 7 * small.flops)) {
            fail_msg("%s: FLOPs %g, %g", hy_op_name((hy_op_id)op), small.flops, large.flops);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gemm), cmocka_unit_test(test_attention),
                                       cmocka_unit_test(test_runs), cmocka_unit_test(test_calls_for_some_runs),
                                       cmocka_unit_test(test_every_operation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
