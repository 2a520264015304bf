/* Parity cases of what places rows and heads: rows added by a list, repeated heads, keys and values of a latent. */
#ifndef HY_TESTS_PARITY_HEADS_H
#define HY_TESTS_PARITY_HEADS_H

#include "tests/parity_rows.h"

/* Blocks that share rows of both arrays, among them empty ones. */
static void parity_rows_add(parity *p) {
    static const hy_row_block blocks[] = {{3, 0, 5}, {0, 2, 9}, {4, 4, 0}, {9, 0, 1}, {3, 7, 4}};
    static const int64_t cols[] = {0, 1, 5, 64, 4001};
    for (size_t i = 0; i < COUNT_OF(cols); i++)
        for (int64_t n = 0; n <= (int64_t)COUNT_OF(blocks); n += 1 + n) {
            parity_begin(p, HY_OP_rows_add, HY_TOL_F32_SUM);
            p->args.rows_add = (hy_rows_add_args){.blocks = blocks, .n_blocks = n, .n = 9, .cols = cols[i]};
            PARITY_IN(p, hy_rows_add, src, 10 * cols[i]);
            PARITY_ACC(p, hy_rows_add, dst, 11 * cols[i]);
            parity_run(p);
        }
}

static void repeat_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][3] = {{0, 2, 3}, {1, 1, 1}, {5, 3, 17}, {3, 4, 64}, {7, 2, 129}, {90, 5, 100}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 4; mode++) {
            const int64_t rows = sizes[i][0], repeat = sizes[i][1], cols = sizes[i][2];
            parity_begin(p, op, HY_TOL_F32_SUM);
            p->args.repeat_fwd = (hy_repeat_args){.rows = rows, .repeat = repeat, .cols = cols, .acc = mode & 1};
            p->args.repeat_fwd.from = mode & 2 ? HY_ROLE_STAT : HY_ROLE_ACT;
            p->args.repeat_fwd.to = i % 2 ? HY_ROLE_STAT : HY_ROLE_ACT;
            if (op == HY_OP_repeat_fwd) {
                PARITY_IN(p, hy_repeat, x, rows * cols);
                PARITY_OUT(p, hy_repeat, y, rows * repeat * cols);
            } else {
                PARITY_IN(p, hy_repeat, dy, rows * repeat * cols);
                PARITY_OUT_IF(p, hy_repeat, dx, rows * cols, mode & 1);
            }
            parity_run(p);
        }
}

static void parity_repeat_fwd(parity *p) {
    repeat_cases(p, HY_OP_repeat_fwd);
}

static void parity_repeat_bwd(parity *p) {
    repeat_cases(p, HY_OP_repeat_bwd);
}

static void latent_heads_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][5] = {{0, 2, 3, 2, 4},    {1, 1, 1, 1, 1},      {5, 3, 17, 4, 16}, {3, 4, 0, 7, 5},
                                       {7, 2, 64, 32, 64}, {90, 5, 100, 33, 20}, {4, 2, 5, 0, 3}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const int64_t T = sizes[i][0], H = sizes[i][1], nope = sizes[i][2], rope = sizes[i][3], DV = sizes[i][4];
        parity_begin(p, op, HY_TOL_F32_SUM);
        p->args.latent_heads_fwd = (hy_latent_heads_args){.T = T, .H = H, .nope = nope, .rope = rope, .DV = DV};
        if (op == HY_OP_latent_heads_fwd) {
            PARITY_IN(p, hy_latent_heads, product, T * H * (nope + DV));
            PARITY_IN(p, hy_latent_heads, shared, T * rope);
            PARITY_OUT(p, hy_latent_heads, k, T * H * (nope + rope));
            PARITY_OUT(p, hy_latent_heads, v, T * H * DV);
        } else {
            PARITY_IN(p, hy_latent_heads, dk, T * H * (nope + rope));
            PARITY_IN(p, hy_latent_heads, dv, T * H * DV);
            PARITY_OUT(p, hy_latent_heads, dproduct, T * H * (nope + DV));
            PARITY_ACC(p, hy_latent_heads, dshared, T * rope);
        }
        parity_run(p);
    }
}

static void parity_latent_heads_fwd(parity *p) {
    latent_heads_cases(p, HY_OP_latent_heads_fwd);
}

static void parity_latent_heads_bwd(parity *p) {
    latent_heads_cases(p, HY_OP_latent_heads_bwd);
}

#endif
