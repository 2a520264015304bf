/* Every operation of every table against cpu_ref in double: odd sizes, empty sizes, both values of every acc flag,
 * optional pointers present and absent, sentinels around every buffer. The list of operations calls parity_<op>: an
 * operation without one does not compile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/parity_attn.h"
#include "tests/parity_bound.h"
#include "tests/parity_columns.h"
#include "tests/parity_filter.h"
#include "tests/parity_heads.h"
#include "tests/parity_levels.h"
#include "tests/parity_lists.h"
#include "tests/parity_recur.h"
#include "tests/parity_rows.h"

enum { ACTS = HY_ACT_SQUARE + 1 };

/* Inputs reach the tails of every activation; e^x stays finite in float. */
static void unary_case(parity *p, hy_op_id op, hy_act act, int64_t n, int mode) {
    const int acc = mode & 1, aliased = mode >> 1 & 1;
    parity_begin(p, op, HY_TOL_F32_POINT);
    snprintf(p->label, sizeof p->label, "%s act=%d n=%d mode=%d", hy_op_name(op), act, (int)n, mode);
    p->args.unary_fwd = (hy_unary_args){
        .act = act, .n = n, .scale = mode & 1 ? -0.7 : 1, .floor = mode >> 2 ? -0.25 : -INFINITY, .acc = acc};
    p->args.unary_fwd.from = mode % 3 ? HY_ROLE_ACT : HY_ROLE_STAT;
    p->args.unary_fwd.to = aliased ? p->args.unary_fwd.from : act % 2 ? HY_ROLE_STAT : HY_ROLE_ACT;
    double *x = NULL;
    if (op == HY_OP_unary_bwd || !aliased)
        x = PARITY_IN(p, hy_unary, x, n);
    if (op == HY_OP_unary_fwd && aliased) {
        x = PARITY_ACC(p, hy_unary, y, n);
        PARITY_ALIAS(p, hy_unary, x);
    } else if (op == HY_OP_unary_fwd) {
        PARITY_OUT(p, hy_unary, y, n);
    } else if (aliased && !acc) {
        PARITY_ACC(p, hy_unary, dx, n);
        PARITY_ALIAS(p, hy_unary, dy);
    } else {
        PARITY_IN(p, hy_unary, dy, n);
        PARITY_OUT_IF(p, hy_unary, dx, n, acc);
    }
    for (int64_t i = 0; i < n; i++)
        x[i] *= i % 3 == 0 ? 12 : 1;
    parity_run(p);
}

#define UNARY_PARITY(op)                                                                                               \
    static void parity_##op(parity *p) {                                                                               \
        for (size_t i = 0; i < COUNT_OF(lengths); i++)                                                                 \
            for (int act = 0; act < ACTS; act++)                                                                       \
                for (int mode = 0; mode < 8; mode++)                                                                   \
                    unary_case(p, HY_OP_##op, (hy_act)act, lengths[i], mode);                                          \
    }
UNARY_PARITY(unary_fwd)
UNARY_PARITY(unary_bwd)

static void glu_case(parity *p, hy_op_id op, hy_act act, int64_t rows, int64_t group, int mode) {
    const int64_t n = rows * group;
    parity_begin(p, op, HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s act=%d n=%d group=%d mode=%d", hy_op_name(op), act, (int)n, (int)group,
             mode);
    p->args.glu_fwd = (hy_glu_args){.act = act, .n = n, .group = group, .acc_a = mode & 1, .acc_z = mode >> 1};
    p->args.glu_fwd.z_role = act % 2 ? HY_ROLE_STAT : HY_ROLE_ACT;
    PARITY_IN(p, hy_glu, a, n);
    double *z = PARITY_IN(p, hy_glu, z, rows);
    for (int64_t i = 0; i < rows; i++)
        z[i] *= 3;
    if (op == HY_OP_glu_fwd) {
        PARITY_OUT(p, hy_glu, y, n);
    } else {
        PARITY_IN(p, hy_glu, dy, n);
        PARITY_OUT_IF(p, hy_glu, da, n, mode & 1);
        PARITY_OUT_IF(p, hy_glu, dz, rows, mode >> 1);
    }
    parity_run(p);
}

static void glu_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][2] = {{0, 1}, {1, 1}, {17, 1}, {1000, 1}, {5, 3}, {3, 64}, {9, 130}, {33, 16}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int act = 0; act < ACTS; act++)
            for (int mode = 0; mode < 4; mode++)
                glu_case(p, op, (hy_act)act, sizes[i][0], sizes[i][1], mode);
}

static void parity_glu_fwd(parity *p) {
    glu_cases(p, HY_OP_glu_fwd);
}

static void parity_glu_bwd(parity *p) {
    glu_cases(p, HY_OP_glu_bwd);
}

static void parity_rope(parity *p) {
    /* T, H, D, rot, first */
    static const int64_t sizes[][5] = {{0, 2, 8, 8, 0},      {1, 1, 2, 2, 0},  {5, 3, 64, 64, 0},  {9, 2, 80, 80, 0},
                                       {4, 2, 192, 64, 128}, {7, 1, 13, 6, 0}, {6, 3, 29, 10, 17}, {3, 2, 40, 6, 16}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int mode = 0; mode < 6; mode++) {
            const int64_t T = sizes[i][0], n = T * sizes[i][1] * sizes[i][2];
            const int aliased = mode >= 4, acc = mode >> 1 == 1;
            int64_t pos[16];
            for (int64_t t = 0; t < T; t++)
                pos[t] = t == 0 ? 1000003 : (int64_t)(parity_uniform(p) * 70000);
            parity_begin(p, HY_OP_rope, HY_TOL_F32_POINT);
            p->args.rope = (hy_rope_args){.T = T,
                                          .H = sizes[i][1],
                                          .D = sizes[i][2],
                                          .first = sizes[i][4],
                                          .rot = sizes[i][3],
                                          .base = 1e4,
                                          .inverse = mode & 1,
                                          .acc = acc,
                                          .pos = pos};
            if (!aliased)
                PARITY_IN(p, hy_rope, x, n);
            PARITY_OUT_IF(p, hy_rope, y, n, acc || aliased);
            if (aliased)
                PARITY_ALIAS(p, hy_rope, x);
            parity_run(p);
        }
    }
}

static void decay_gate_case(parity *p, hy_op_id op, const int64_t *size, int mode) {
    const int64_t T = size[0], H = size[1], K = size[2];
    const int acc = mode & 1, has_bias = mode >> 1 & 1;
    parity_begin(p, op, op == HY_OP_decay_gate_fwd ? HY_TOL_F32_POINT : HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s T=%d H=%d K=%d mode=%d", hy_op_name(op), (int)T, (int)H, (int)K, mode);
    p->args.decay_gate_fwd =
        (hy_decay_gate_args){.T = T, .H = H, .K = K, .lower_bound = mode >> 2 ? -5 : 0, .acc = acc};
    double *x = PARITY_IN(p, hy_decay_gate, x, T * H * K);
    for (int64_t i = 0; i < T * H * K; i++)
        x[i] *= i % 3 == 0 ? 10 : 1;
    PARITY_IN(p, hy_decay_gate, A_log, H);
    if (has_bias)
        PARITY_IN(p, hy_decay_gate, dt_bias, H * K);
    if (op == HY_OP_decay_gate_fwd) {
        PARITY_OUT(p, hy_decay_gate, g, T * H * K);
    } else {
        PARITY_IN(p, hy_decay_gate, dg, T * H * K);
        PARITY_OUT_IF(p, hy_decay_gate, dx, T * H * K, acc);
        PARITY_ACC(p, hy_decay_gate, dA_log, H);
        if (has_bias)
            PARITY_ACC(p, hy_decay_gate, ddt_bias, H * K);
    }
    parity_run(p);
}

static void decay_gate_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][3] = {{0, 2, 3}, {1, 1, 1}, {33, 4, 1}, {17, 2, 64}, {5, 3, 129}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 8; mode++)
            decay_gate_case(p, op, sizes[i], mode);
}

static void parity_decay_gate_fwd(parity *p) {
    decay_gate_cases(p, HY_OP_decay_gate_fwd);
}

static void parity_decay_gate_bwd(parity *p) {
    decay_gate_cases(p, HY_OP_decay_gate_bwd);
}

static void conv_case(parity *p, hy_op_id op, const run_shape *s, int64_t C, int64_t W, int mode) {
    const int acc = mode & 1, has_bias = mode >> 1 & 1, has_halo = mode >> 2;
    parity_begin(p, op, HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s T=%d C=%d W=%d mode=%d", hy_op_name(op), (int)s->T, (int)C, (int)W, mode);
    hy_run runs[6];
    for (int64_t r = 0; r < s->n_runs; r++) {
        runs[r] = s->runs[r];
        runs[r].s0 = has_halo ? runs[r].s0 : -1;
    }
    p->args.conv_fwd = (hy_conv_args){.T = s->T,
                                      .C = C,
                                      .W = W,
                                      .act = has_bias ? HY_ACT_SILU : HY_ACT_IDENTITY,
                                      .runs = runs,
                                      .n_runs = s->n_runs,
                                      .acc = acc};
    for (int64_t n = 0; n < s->n_runs; n++) {
        p->args.conv_fwd.run_tokens += runs[n].len;
        p->args.conv_fwd.run_longest =
            runs[n].len > p->args.conv_fwd.run_longest ? runs[n].len : p->args.conv_fwd.run_longest;
    }
    PARITY_IN(p, hy_conv, x, s->T * C);
    PARITY_IN(p, hy_conv, w, C * W);
    if (has_bias)
        PARITY_IN(p, hy_conv, bias, C);
    if (has_halo)
        PARITY_IN(p, hy_conv, halo, RUN_SLOTS * (W - 1) * C);
    if (op == HY_OP_conv_fwd) {
        PARITY_OUT(p, hy_conv, y, s->T * C);
    } else {
        PARITY_IN(p, hy_conv, dy, s->T * C);
        PARITY_OUT_IF(p, hy_conv, dx, s->T * C, acc);
        PARITY_ACC(p, hy_conv, dw, C * W);
        if (has_bias)
            PARITY_ACC(p, hy_conv, dbias, C);
        if (has_halo)
            PARITY_OUT(p, hy_conv, dhalo, RUN_SLOTS * (W - 1) * C);
    }
    parity_run(p);
}

static void conv_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][2] = {{1, 4}, {19, 4}, {64, 4}, {33, 3}, {17, 1}, {9, 2}, {5, 7}, {37, 33}, {3, 140}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int shape = 0; shape < RUN_SHAPES; shape++)
            for (int mode = 0; mode < 8; mode++)
                conv_case(p, op, &run_shapes[shape], sizes[i][0], sizes[i][1], mode);
}

static void parity_conv_fwd(parity *p) {
    conv_cases(p, HY_OP_conv_fwd);
}

static void parity_conv_bwd(parity *p) {
    conv_cases(p, HY_OP_conv_bwd);
}

/* A sample; test_recur_parity.c and test_attn_parity.c go through all sizes. */
static void recur_sample(parity *p, void (*one)(parity *, const recur_case *)) {
    for (int n = 0; n < 8 * RUN_SHAPES; n++) {
        const recur_case c = {.decay = (hy_decay)(n % 4),
                              .rule = (hy_rule)(n / 4 % 4 % 3),
                              .exclusive = n / 4 % 4 == 3,
                              .gate = (gate_strength)(n % 3),
                              .shape = n % RUN_SHAPES,
                              .H = 2,
                              .HV = 4,
                              .K = 8 + n % 5 * 7,
                              .V = 24 - n % 3 * 5,
                              .sparse = n % 4 == 3};
        one(p, &c);
    }
}

static void attn_sample(parity *p, void (*one)(parity *, const attn_case *)) {
    for (int n = 0; n < 4 * ATTN_SHAPES; n++) {
        const attn_case c = {.shape = n % ATTN_SHAPES,
                             .H = 4,
                             .HKV = n % 2 ? 2 : 1,
                             .D = 8 + n % 5 * 9,
                             .DV = 33 - n % 3 * 8,
                             .first = n % 2,
                             .spread = n % 4 ? 1 : 15};
        one(p, &c);
    }
}

static void bonus_case(parity *p, hy_op_id op, const int64_t *size, int mode) {
    const int64_t T = size[0], H = size[1], K = size[2], V = size[3];
    parity_begin(p, op, HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s T=%d H=%d K=%d V=%d mode=%d", hy_op_name(op), (int)T, (int)H, (int)K,
             (int)V, mode);
    p->args.bonus_fwd = (hy_bonus_args){.T = T,
                                        .H = H,
                                        .K = K,
                                        .V = V,
                                        .acc_o = mode & 1,
                                        .acc_r = mode & 1,
                                        .acc_k = mode >> 1 & 1,
                                        .acc_v = mode >> 2};
    PARITY_IN(p, hy_bonus, r, T * H * K);
    PARITY_IN(p, hy_bonus, k, T * H * K);
    PARITY_IN(p, hy_bonus, u, H * K);
    PARITY_IN(p, hy_bonus, v, T * H * V);
    if (op == HY_OP_bonus_fwd) {
        PARITY_OUT_IF(p, hy_bonus, o, T * H * V, mode & 1);
    } else {
        PARITY_IN(p, hy_bonus, d_o, T * H * V);
        PARITY_OUT_IF(p, hy_bonus, dr, T * H * K, mode & 1);
        PARITY_OUT_IF(p, hy_bonus, dk, T * H * K, mode >> 1 & 1);
        PARITY_OUT_IF(p, hy_bonus, dv, T * H * V, mode >> 2);
        PARITY_ACC(p, hy_bonus, du, H * K);
    }
    parity_run(p);
}

static void bonus_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][4] = {{0, 2, 3, 4},    {1, 1, 1, 1},      {33, 4, 16, 7},
                                       {17, 2, 64, 64}, {131, 3, 37, 130}, {3, 1, 300, 5}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 8; mode++)
            bonus_case(p, op, sizes[i], mode);
}

static void parity_bonus_fwd(parity *p) {
    bonus_cases(p, HY_OP_bonus_fwd);
}

static void parity_bonus_bwd(parity *p) {
    bonus_cases(p, HY_OP_bonus_bwd);
}

#define SAMPLE(op, sampler)                                                                                            \
    static void parity_##op(parity *p) {                                                                               \
        sampler(p, op##_case);                                                                                         \
    }
SAMPLE(recur_map, recur_sample)
SAMPLE(recur_fwd, recur_sample)
SAMPLE(recur_inject, recur_sample)
SAMPLE(recur_map_bwd, recur_sample)
SAMPLE(recur_bwd, recur_sample)
SAMPLE(level_fwd, level_sample)
SAMPLE(level_map_bwd, level_sample)
SAMPLE(level_bwd, level_sample)
SAMPLE(attn_fwd, attn_sample)
SAMPLE(attn_delta, attn_sample)
SAMPLE(attn_bwd, attn_sample)

static void parity_attn_sink_fwd(parity *p) {
    attn_sink_cases(p, HY_OP_attn_sink_fwd);
}

static void parity_attn_sink_bwd(parity *p) {
    attn_sink_cases(p, HY_OP_attn_sink_bwd);
}

/* A_size: a number, a diagonal, a matrix, which coincide for K = 1. */
static void parity_map_apply(parity *p) {
    for (size_t i = 0; i < COUNT_OF(map_sizes); i++) {
        for (int mode = 0; mode < 24; mode++) {
            const int64_t n = map_sizes[i][0], K = map_sizes[i][1], V = map_sizes[i][2],
                          a_size = a_size_of(K, mode % 3);
            const int aliased = mode >> 3 == 2, has_H = mode >> 3 >= 1;
            parity_begin(p, HY_OP_map_apply, HY_TOL_F32_SUM);
            p->args.map_apply =
                (hy_map_apply_args){.n = n, .K = K, .V = V, .a_size = a_size, .transpose = mode >> 2 & 1};
            if (mode % 8 != 7) {
                PARITY_IN(p, hy_map_apply, S, n * K * V);
                PARITY_IN(p, hy_map_apply, A, n * a_size);
            }
            if (has_H && !aliased)
                PARITY_IN(p, hy_map_apply, H, n * K * V);
            PARITY_OUT_IF(p, hy_map_apply, out, n * K * V, aliased);
            if (aliased)
                PARITY_ALIAS(p, hy_map_apply, H);
            parity_run(p);
        }
    }
}

static void parity_map_compose(parity *p) {
    for (size_t i = 0; i < COUNT_OF(map_sizes); i++) {
        for (int kind = 0; kind < 3; kind++) {
            const int64_t n = map_sizes[i][0], K = map_sizes[i][1], V = map_sizes[i][2], a_size = a_size_of(K, kind);
            parity_begin(p, HY_OP_map_compose, HY_TOL_F32_SUM);
            p->args.map_compose = (hy_map_compose_args){.n = n, .K = K, .V = V, .a_size = a_size};
            PARITY_IN(p, hy_map_compose, A1, n * a_size);
            PARITY_IN(p, hy_map_compose, H1, n * K * V);
            PARITY_IN(p, hy_map_compose, A2, n * a_size);
            PARITY_IN(p, hy_map_compose, H2, n * K * V);
            PARITY_OUT(p, hy_map_compose, A, n * a_size);
            PARITY_OUT(p, hy_map_compose, H, n * K * V);
            parity_run(p);
        }
    }
}

static void check(void (*cases)(parity *)) {
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    cases(&p);
    print_message("%lld cases on %d tables, worst error %.3g of the tolerance\n", (long long)p.cases, p.n_tables,
                  p.worst);
    assert_true(p.cases > 0);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

#define HY_X(op, args)                                                                                                 \
    static void test_##op(void **unused) {                                                                             \
        (void)unused;                                                                                                  \
        check(parity_##op);                                                                                            \
    }
HY_OPS(HY_X)
#undef HY_X

int main(void) {
    const struct CMUnitTest tests[] = {
#define HY_X(op, args) cmocka_unit_test(test_##op),
        HY_OPS(HY_X)
#undef HY_X
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
