/* Parity of operations over lists, and shapes of segment maps. */
#ifndef HY_TESTS_PARITY_LISTS_H
#define HY_TESTS_PARITY_LISTS_H

#include "tests/parity_rows.h"

static const int64_t map_sizes[][3] = {{0, 3, 4}, {1, 1, 1}, {2, 1, 5}, {3, 17, 9}, {2, 64, 33}, {1, 80, 128}};

static int64_t a_size_of(int64_t K, int kind) {
    return kind == 0 ? 1 : kind == 1 ? K : K * K;
}

static void parity_values(parity *p) {
    for (int i = 0; i < 12; i++) {
        const int64_t n = (int64_t[]){0, 1, HY_VALUES_MAX}[i % 3];
        parity_begin(p, HY_OP_values, HY_TOL_F32_POINT);
        p->args.values = (hy_values_args){.n = n, .role = (hy_role)(i / 3)};
        parity_uniform_fill(p, p->args.values.value, n, -2, 2);
        PARITY_OUT(p, hy_values, y, n);
        parity_run(p);
    }
}

/* A chain over three maps of two groups: an entering state that is read only, one that came to `in`, two that pass, copies. */
static const hy_fold_step parity_fold_steps[] = {
    {-1, 1, 0, 3, 7}, {0, 0, 3, 7, 12}, {3, 2, -1, 0, 0}, {3, -1, 4, 12, 13}, {4, -1, 1, 13, 22}};

static void parity_map_fold(parity *p) {
    for (size_t i = 0; i < COUNT_OF(map_sizes); i++) {
        for (int mode = 0; mode < 12; mode++) {
            const int64_t n = map_sizes[i][0], K = map_sizes[i][1], V = map_sizes[i][2],
                          a_size = a_size_of(K, mode % 3), levels = mode / 6 * 5;
            const int64_t state = (levels > 0 ? levels : 1) * n * K * V, group = 3, group_ld = group * state + 5;
            parity_begin(p, HY_OP_map_fold, HY_TOL_F32_SUM);
            snprintf(p->label, sizeof p->label, "map_fold n=%d K=%d V=%d mode=%d", (int)n, (int)K, (int)V, mode);
            p->args.map_fold = (hy_map_fold_args){.n = n,
                                                  .K = K,
                                                  .V = V,
                                                  .a_size = a_size,
                                                  .levels = levels,
                                                  .transpose = mode / 3 % 2,
                                                  .steps = parity_fold_steps,
                                                  .n_steps = COUNT_OF(parity_fold_steps),
                                                  .group = group,
                                                  .group_ld = group_ld};
            double *A = PARITY_IN(p, hy_map_fold, A, 6 * n * a_size);
            for (int64_t j = 0; j < 6 * n * a_size; j++)
                A[j] /= sqrt((double)K); /* products of them keep their size */
            PARITY_ACC(p, hy_map_fold, H, 2 * group_ld);
            PARITY_ACC(p, hy_map_fold, in, 3 * state);
            parity_run(p);
        }
    }
}

static void parity_map_join(parity *p) {
    static const hy_map_join_entry joins[] = {{1, 0x16}, {0, 0x01}, {2, 0x1f}};
    static double work[2 * 3 * 80 * 80];
    for (size_t i = 0; i < COUNT_OF(map_sizes); i++) {
        for (int kind = 0; kind < 3; kind++) {
            const int64_t n = map_sizes[i][0], K = map_sizes[i][1], V = map_sizes[i][2], a_size = a_size_of(K, kind);
            const int64_t levels = 5;
            parity_begin(p, HY_OP_map_join, HY_TOL_F32_SUM);
            p->args.map_join = (hy_map_join_args){
                .n = n, .K = K, .V = V, .a_size = a_size, .levels = levels, .joins = joins, .n_joins = 3, .work = work};
            double *A = PARITY_IN(p, hy_map_join, A_pieces, 3 * levels * n * a_size);
            for (int64_t j = 0; j < 3 * levels * n * a_size; j++)
                A[j] /= sqrt((double)K);
            PARITY_IN(p, hy_map_join, H_pieces, 3 * levels * n * K * V);
            PARITY_OUT(p, hy_map_join, A, 3 * n * a_size);
            PARITY_OUT(p, hy_map_join, H, 3 * levels * n * K * V);
            parity_run(p);
        }
    }
}

/* Blocks in rows of `unit` elements, then a zeroed one; the same numbers turned. */
static void parity_copy_blocks(parity *p) {
    static const hy_block straight[] = {
        {3, 2, 4, 5, 1, 7}, {0, 1, 0, 1, 0, 1}, {1, 4, 0, 4, 40, 4}, {2, 3, 20, 3, 22, 4}};
    static const hy_block zeroing[] = {{2, 3, -1, 0, 33, 5}, {1, 3, 2, 1, 34, 3}};
    static const hy_block turned[] = {{3, 5, 4, 7, 2, 4}, {1, 2, 0, 2, 30, 1}, {2, 0, 0, 1, 0, 2}};
    for (int mode = 0; mode < 24; mode++) {
        const int form = mode % 3, acc = mode / 3 % 2;
        const int64_t unit = form == 2 ? 1 : (int64_t[]){1, 3, 17, 64}[mode / 6];
        parity_begin(p, HY_OP_copy_blocks, HY_TOL_F32_POINT);
        p->args.copy_blocks = (hy_copy_blocks_args){.blocks = form == 0   ? straight
                                                              : form == 1 ? zeroing
                                                                          : turned,
                                                    .n_blocks = form == 0   ? 4
                                                                : form == 1 ? 2
                                                                            : 3,
                                                    .unit = unit,
                                                    .turn = form == 2,
                                                    .acc = acc,
                                                    .role = form == 2 ? HY_ROLE_ACT : (hy_role)(mode / 6)};
        PARITY_IN(p, hy_copy_blocks, src, 30 * unit);
        PARITY_ACC(p, hy_copy_blocks, dst, 45 * unit);
        parity_run(p);
    }
}

#endif
