/* Parity cases of filters, long convolutions and the transpose. */
#ifndef HY_TESTS_PARITY_FILTER_H
#define HY_TESTS_PARITY_FILTER_H

#include "tests/parity.h"

#define FILTER_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void parity_transpose(parity *p) {
    static const int64_t sizes[][2] = {{0, 3}, {3, 0}, {1, 1}, {5, 70}, {130, 3}, {33, 64}};
    for (size_t i = 0; i < FILTER_COUNT_OF(sizes); i++) {
        for (int mode = 0; mode < 4; mode++) {
            const int64_t rows = sizes[i][0], cols = sizes[i][1], gap = mode >> 1 ? 3 : 0;
            parity_begin(p, HY_OP_transpose, HY_TOL_EXACT);
            p->args.transpose = (hy_transpose_args){
                .rows = rows, .cols = cols, .src_ld = cols + gap, .dst_ld = rows + gap, .acc = mode & 1};
            PARITY_IN(p, hy_transpose, src, rows * (cols + gap));
            PARITY_ACC(p, hy_transpose, dst, cols * (rows + gap));
            if (mode & 1)
                p->tolerance = HY_TOL_F32_POINT; /* the reference adds doubles */
            parity_run(p);
        }
    }
}

/* Learned, fixed and no damping; one filter for all channels, for some, for each. */
static void window_filter_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][3] = {{0, 0, 3}, {1, 1, 1}, {6, 1, 7}, {12, 4, 128}, {5, 5, 65}};
    for (size_t i = 0; i < FILTER_COUNT_OF(sizes); i++) {
        for (int mode = 0; mode < 3; mode++) {
            const int64_t C = sizes[i][0], G = sizes[i][1], W = sizes[i][2];
            parity_begin(p, op, HY_TOL_F32_SUM);
            p->args.window_filter_fwd =
                (hy_window_filter_args){.C = C, .G = G, .W = W, .low = 0.1, .high = mode == 1 ? 100 : 0};
            PARITY_IN(p, hy_window_filter, h, G * W);
            if (mode == 2)
                PARITY_IN(p, hy_window_filter, log_alpha, G);
            if (op == HY_OP_window_filter_fwd) {
                PARITY_OUT(p, hy_window_filter, w, C * W);
            } else {
                PARITY_IN(p, hy_window_filter, dw, C * W);
                PARITY_ACC(p, hy_window_filter, dh, G * W);
                if (mode == 2)
                    PARITY_ACC(p, hy_window_filter, dlog_alpha, G);
            }
            parity_run(p);
        }
    }
}

static void parity_window_filter_fwd(parity *p) {
    window_filter_cases(p, HY_OP_window_filter_fwd);
}

static void parity_window_filter_bwd(parity *p) {
    window_filter_cases(p, HY_OP_window_filter_bwd);
}

/* Decays from none to gone after a token; some channels of a model, filters shared by 1 and by 3. */
static void modal_filter_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][4] = {{0, 5, 2, 0}, {1, 1, 1, 0}, {4, 130, 3, 2}, {7, 64, 16, 5}, {2, 1000, 2, 1}};
    for (size_t i = 0; i < FILTER_COUNT_OF(sizes); i++) {
        for (int64_t group = 1; group <= 3; group += 2) {
            const int64_t C = sizes[i][0], L = sizes[i][1], N = sizes[i][2], first = sizes[i][3];
            const int64_t filters = (first + C + group - 1) / group;
            parity_begin(p, op, HY_TOL_F32_SUM);
            p->args.modal_filter_fwd = (hy_modal_filter_args){.C = C, .L = L, .N = N, .first = first, .group = group};
            PARITY_IN(p, hy_modal_filter, R, filters * N);
            double *decay = PARITY_IN(p, hy_modal_filter, p, filters * N);
            for (int64_t n = 0; n < filters * N; n++)
                decay[n] += n % 5 == 4 ? 60 : -40 + 12 * (double)(n % 5);
            if (op == HY_OP_modal_filter_fwd) {
                PARITY_OUT(p, hy_modal_filter, h, C * L);
            } else {
                PARITY_IN(p, hy_modal_filter, dh, C * L);
                PARITY_ACC(p, hy_modal_filter, dR, filters * N);
                PARITY_ACC(p, hy_modal_filter, dp, filters * N);
                p->terms = C > 0 ? (double)L / 10 : 0; /* ages reach L, and most of a sum cancels */
            }
            parity_run(p);
        }
    }
}

static void parity_modal_filter_fwd(parity *p) {
    modal_filter_cases(p, HY_OP_modal_filter_fwd);
}

static void parity_modal_filter_bwd(parity *p) {
    modal_filter_cases(p, HY_OP_modal_filter_bwd);
}

static void long_conv_cases(parity *p, hy_op_id op) {
    static const int64_t whole[] = {0, 150}, packed[] = {0, 1, 1, 3, 66, 131, 150}, none[] = {0},
                         far[] = {0, 37, 2040, 2049, 2049, 6300, 6301}, pair[] = {0, 2};
    static const struct {
        const int64_t *docs;
        int64_t n, L;
        int64_t C;
    } convs[] = {{whole, 1, 150, 5},  {packed, 6, 65, 5}, {packed, 6, 150, 5},
                 {none, 0, 9, 5},     {far, 6, 4251, 2},  {far, 6, 6301, 1}, /* blocks of several sizes */
                 {pair, 1, 2, 66000}, /* more channels than are worked on at a time */};
    for (size_t i = 0; i < FILTER_COUNT_OF(convs); i++) {
        for (int mode = 0; mode < 3; mode++) {
            const int64_t T = convs[i].docs[convs[i].n], L = convs[i].L, C = mode == 2 ? convs[i].C : mode;
            parity_begin(p, op, HY_TOL_F32_SUM);
            snprintf(p->label, sizeof p->label, "%s C=%d T=%d L=%d", hy_op_name(op), (int)C, (int)T, (int)L);
            p->args.long_conv_fwd =
                (hy_long_conv_args){.C = C, .T = T, .L = L, .docs = convs[i].docs, .n_docs = convs[i].n};
            PARITY_IN(p, hy_long_conv, x, C * T);
            PARITY_IN(p, hy_long_conv, h, C * L);
            if (op == HY_OP_long_conv_fwd) {
                PARITY_OUT(p, hy_long_conv, y, C * T);
            } else {
                PARITY_IN(p, hy_long_conv, dy, C * T);
                PARITY_OUT(p, hy_long_conv, dx, C * T);
                PARITY_OUT(p, hy_long_conv, dh, C * L);
            }
            parity_run(p);
        }
    }
}

static void parity_long_conv_fwd(parity *p) {
    long_conv_cases(p, HY_OP_long_conv_fwd);
}

static void parity_long_conv_bwd(parity *p) {
    long_conv_cases(p, HY_OP_long_conv_bwd);
}

#endif
