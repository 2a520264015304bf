/* Parity cases of learned factors, feature maps, normalising columns and a token's own part. */
#ifndef HY_TESTS_PARITY_COLUMNS_H
#define HY_TESTS_PARITY_COLUMNS_H

#include "tests/parity_rows.h"

static void scale_case(parity *p, hy_op_id op, const int64_t *size, hy_act act, int mode) {
    const int64_t T = size[0], cols = size[1], expand = size[2], group = size[3];
    parity_begin(p, op, HY_TOL_F32_SUM);
    snprintf(p->label, sizeof p->label, "%s T=%d cols=%d expand=%d group=%d act=%d mode=%d", hy_op_name(op), (int)T,
             (int)cols, (int)expand, (int)group, act, mode);
    p->args.scale_fwd =
        (hy_scale_args){.act = act, .T = T, .cols = cols, .expand = expand, .group = group, .acc = mode};
    p->args.scale_fwd.role = act % 2 ? HY_ROLE_STAT : HY_ROLE_ACT;
    PARITY_IN(p, hy_scale, x, T * cols / expand);
    PARITY_IN(p, hy_scale, w, cols / group);
    if (op == HY_OP_scale_fwd) {
        if (mode)
            PARITY_IN(p, hy_scale, add, T * cols);
        PARITY_OUT(p, hy_scale, y, T * cols);
    } else {
        PARITY_IN(p, hy_scale, dy, T * cols);
        PARITY_OUT_IF(p, hy_scale, dx, T * cols / expand, mode);
        PARITY_ACC(p, hy_scale, dw, cols / group);
        p->terms = cols == group ? sqrt((double)(T * group)) : 0; /* one sum of all, of which anything may be left */
    }
    parity_run(p);
}

static void scale_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][4] = {{0, 3, 1, 1},   {1, 1, 1, 1},    {33, 17, 1, 1},     {9, 130, 1, 13},
                                       {5, 48, 16, 1}, {3, 9000, 1, 2}, {2, 9003, 3001, 1}, {40, 1000, 1, 1000}};
    static const hy_act acts[] = {HY_ACT_IDENTITY, HY_ACT_NEG_EXP, HY_ACT_SIGMOID};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t act = 0; act < COUNT_OF(acts); act++)
            for (int mode = 0; mode < 2; mode++)
                scale_case(p, op, sizes[i], acts[act], mode);
}

static void parity_scale_fwd(parity *p) {
    scale_cases(p, HY_OP_scale_fwd);
}

static void parity_scale_bwd(parity *p) {
    scale_cases(p, HY_OP_scale_bwd);
}

static void feature_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][2] = {{0, 4}, {1, 1}, {3, 2}, {5, 7}, {300, 16}, {3, 37}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 10; mode++) {
            const int64_t rows = sizes[i][0], cols = sizes[i][1];
            const hy_feature_kind kind = (hy_feature_kind)(mode >> 1);
            parity_begin(p, op, HY_TOL_F32_SUM);
            snprintf(p->label, sizeof p->label, "%s rows=%d cols=%d mode=%d", hy_op_name(op), (int)rows, (int)cols,
                     mode);
            p->args.feature_fwd = (hy_feature_args){.kind = kind, .rows = rows, .cols = cols, .acc = mode & 1};
            PARITY_IN(p, hy_feature, x, rows * cols);
            if (op == HY_OP_feature_fwd) {
                PARITY_OUT(p, hy_feature, y, rows * hy_feature_cols(kind, cols));
            } else {
                PARITY_IN(p, hy_feature, dy, rows * hy_feature_cols(kind, cols));
                PARITY_OUT_IF(p, hy_feature, dx, rows * cols, mode & 1);
            }
            parity_run(p);
        }
}

static void parity_feature_fwd(parity *p) {
    feature_cases(p, HY_OP_feature_fwd);
}

static void parity_feature_bwd(parity *p) {
    feature_cases(p, HY_OP_feature_bwd);
}

/* Normalisers away from zero, where a quotient has no accuracy to compare. */
static void ratio_cases(parity *p, hy_op_id op) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (int acc = 0; acc < 2; acc++) {
            const int64_t rows = shapes[i][0], cols = shapes[i][1];
            parity_begin(p, op, HY_TOL_F32_SUM);
            p->args.ratio_fwd = (hy_ratio_args){.rows = rows, .cols = cols, .eps = 1e-3, .acc = acc};
            double *x = PARITY_IN(p, hy_ratio, x, rows * (cols + 1));
            for (int64_t r = 0; r < rows; r++)
                x[r * (cols + 1) + cols] = 1 + fabs(x[r * (cols + 1) + cols]);
            if (op == HY_OP_ratio_fwd) {
                PARITY_OUT(p, hy_ratio, y, rows * cols);
            } else {
                PARITY_IN(p, hy_ratio, dy, rows * cols);
                PARITY_OUT_IF(p, hy_ratio, dx, rows * (cols + 1), acc);
            }
            parity_run(p);
        }
}

static void parity_ratio_fwd(parity *p) {
    ratio_cases(p, HY_OP_ratio_fwd);
}

static void parity_ratio_bwd(parity *p) {
    ratio_cases(p, HY_OP_ratio_bwd);
}

static void own_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][3] = {{0, 3, 2}, {1, 1, 1}, {5, 7, 0}, {300, 16, 9}, {9, 64, 65}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 4; mode++) {
            const int64_t rows = sizes[i][0], cols = sizes[i][1], V = sizes[i][2];
            parity_begin(p, op, HY_TOL_F32_SUM);
            snprintf(p->label, sizeof p->label, "%s rows=%d cols=%d V=%d mode=%d", hy_op_name(op), (int)rows, (int)cols,
                     (int)V, mode);
            p->args.own_fwd = (hy_own_args){
                .rows = rows, .cols = cols, .V = V, .acc_q = mode & 1, .acc_k = mode >> 1, .acc_v = mode == 3};
            PARITY_IN(p, hy_own, q, rows * cols);
            PARITY_IN(p, hy_own, k, rows * cols);
            PARITY_IN(p, hy_own, v, rows * V);
            if (op == HY_OP_own_fwd) {
                if (mode & 1)
                    PARITY_IN(p, hy_own, add, rows * V);
                PARITY_OUT(p, hy_own, y, rows * V);
            } else {
                PARITY_IN(p, hy_own, dy, rows * V);
                PARITY_OUT_IF(p, hy_own, dq, rows * cols, mode & 1);
                PARITY_OUT_IF(p, hy_own, dk, rows * cols, mode >> 1);
                PARITY_OUT_IF(p, hy_own, dv, rows * V, mode == 3);
            }
            parity_run(p);
        }
}

static void parity_own_fwd(parity *p) {
    own_cases(p, HY_OP_own_fwd);
}

static void parity_own_bwd(parity *p) {
    own_cases(p, HY_OP_own_bwd);
}

#endif
