/* Parity cases of lower bounds, the gates above them, and interpolation. */
#ifndef HY_TESTS_PARITY_BOUND_H
#define HY_TESTS_PARITY_BOUND_H

#include "tests/parity_rows.h"

static void bound_case(parity *p, hy_op_id op, int64_t layers, int64_t layer, int64_t C) {
    parity_begin(p, op, HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s layer %d of %d, C=%d", hy_op_name(op), (int)layer, (int)layers, (int)C);
    p->args.bound_fwd = (hy_bound_args){.layers = layers, .layer = layer, .C = C};
    double *w = PARITY_IN(p, hy_bound, w, layers * C);
    for (int64_t i = 0; i < layers * C; i++)
        w[i] *= i % 5 == 0 ? 20 : 1;
    if (op == HY_OP_bound_fwd) {
        PARITY_OUT(p, hy_bound, y, C);
    } else {
        PARITY_IN(p, hy_bound, dy, C);
        PARITY_ACC(p, hy_bound, dw, layers * C);
    }
    parity_run(p);
}

static void bound_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][3] = {{3, 1, 0}, {1, 0, 5}, {2, 1, 1}, {5, 4, 17}, {24, 7, 33}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        bound_case(p, op, sizes[i][0], sizes[i][1], sizes[i][2]);
}

static void parity_bound_fwd(parity *p) {
    bound_cases(p, HY_OP_bound_fwd);
}

static void parity_bound_bwd(parity *p) {
    bound_cases(p, HY_OP_bound_bwd);
}

/* Inputs reach both tails; among the bounds are 0 and 1. */
static void bound_gate_case(parity *p, hy_op_id op, int64_t T, int64_t C, int mode) {
    const int acc = mode & 1, has_bound = mode >> 1;
    parity_begin(p, op, op == HY_OP_bound_gate_fwd ? HY_TOL_F32_POINT : HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s T=%d C=%d mode=%d", hy_op_name(op), (int)T, (int)C, mode);
    p->args.bound_gate_fwd = (hy_bound_gate_args){.T = T, .C = C, .acc = acc};
    double *x = PARITY_IN(p, hy_bound_gate, x, T * C);
    for (int64_t i = 0; i < T * C; i++)
        x[i] *= i % 3 == 0 ? 12 : 1;
    if (has_bound) {
        double *bound = PARITY_IN(p, hy_bound_gate, bound, C);
        parity_uniform_fill(p, bound, C, 0, 1);
        for (int64_t c = 3; c < C; c += 7)
            bound[c] = (double)(c % 2);
    }
    if (op == HY_OP_bound_gate_fwd) {
        PARITY_OUT(p, hy_bound_gate, g, T * C);
        PARITY_OUT(p, hy_bound_gate, k, T * C);
    } else {
        PARITY_IN(p, hy_bound_gate, dg, T * C);
        PARITY_IN(p, hy_bound_gate, dk, T * C);
        PARITY_OUT_IF(p, hy_bound_gate, dx, T * C, acc);
        if (has_bound)
            PARITY_ACC(p, hy_bound_gate, dbound, C);
    }
    parity_run(p);
}

static void bound_gate_cases(parity *p, hy_op_id op) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (int mode = 0; mode < 4; mode++)
            bound_gate_case(p, op, shapes[i][0], shapes[i][1], mode);
}

static void parity_bound_gate_fwd(parity *p) {
    bound_gate_cases(p, HY_OP_bound_gate_fwd);
}

static void parity_bound_gate_bwd(parity *p) {
    bound_gate_cases(p, HY_OP_bound_gate_bwd);
}

/* mode: bits sigmoid, m is there, acc_x, acc_z, dm in the place of dy. */
static void lerp_case(parity *p, hy_op_id op, int64_t rows, int64_t cols, int parts, int mode) {
    const int with_m = mode >> 1 & 1;
    parity_begin(p, op, HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s %d×%d×%d mode=%d", hy_op_name(op), (int)rows, (int)cols, parts, mode);
    p->args.lerp_fwd = (hy_lerp_args){.act = mode & 1 ? HY_ACT_SIGMOID : HY_ACT_IDENTITY,
                                      .rows = rows,
                                      .cols = cols,
                                      .parts = parts,
                                      .acc_x = mode >> 2 & 1,
                                      .acc_z = mode >> 3 & 1};
    PARITY_IN(p, hy_lerp, x, rows * cols);
    PARITY_IN(p, hy_lerp, z, rows * cols);
    if (op == HY_OP_lerp_bwd) {
        PARITY_OUT_IF(p, hy_lerp, dx, rows * cols, mode >> 2 & 1);
        PARITY_OUT_IF(p, hy_lerp, dz, rows * cols, mode >> 3 & 1);
    }
#define LERP_ARRAY(member, n, role)                                                                                    \
    parity_buffer_add(p, "hy_lerp", #member, offsetof(hy_lerp_args, member[i]), n, PARITY_##role)
    for (int i = 0; i < parts; i++) {
        LERP_ARRAY(w, cols, INPUT);
        if (with_m)
            LERP_ARRAY(m, rows * cols, INPUT);
        if (op == HY_OP_lerp_fwd) {
            LERP_ARRAY(y, rows * cols, OVERWRITTEN);
            continue;
        }
        LERP_ARRAY(dw, cols, UPDATED);
        if (with_m && mode >> 4 == 0)
            LERP_ARRAY(dm, rows * cols, OVERWRITTEN);
        LERP_ARRAY(dy, rows * cols, INPUT);
        if (with_m && mode >> 4)
            PARITY_ALIAS(p, hy_lerp, dm[i]);
    }
#undef LERP_ARRAY
    parity_run(p);
}

static void lerp_cases(parity *p, hy_op_id op) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (int mode = 0; mode < 32; mode++)
            lerp_case(p, op, shapes[i][0], shapes[i][1], mode & 2 ? 1 + (int)i % 3 : 1 + 5 * ((int)i % 2), mode);
}

static void parity_lerp_fwd(parity *p) {
    lerp_cases(p, HY_OP_lerp_fwd);
}

static void parity_lerp_bwd(parity *p) {
    lerp_cases(p, HY_OP_lerp_bwd);
}

#endif
