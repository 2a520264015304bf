/* Parity cases of memory operations, products, norms, loss and optimizer. Every operation has one function
 * parity_<op>(parity *); the list in kernels.h calls them all, so one that is missing does not compile. */
#ifndef HY_TESTS_PARITY_ROWS_H
#define HY_TESTS_PARITY_ROWS_H

#include "tests/parity.h"

static const int64_t lengths[] = {0, 1, 3, 17, 64, 129, 1000};
static const int64_t shapes[][2] = {{0, 5}, {5, 0}, {1, 1}, {3, 17}, {33, 64}, {7, 129}, {130, 3}, {5, 1000}};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void parity_fill(parity *p) {
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        parity_begin(p, HY_OP_fill, HY_TOL_EXACT);
        p->args.fill = (hy_fill_args){.n = lengths[i], .value = -2.5, .role = (hy_role)(i % 4)};
        PARITY_OUT(p, hy_fill, y, lengths[i]);
        parity_run(p);
    }
}

static void parity_copy2d(parity *p) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        for (int acc = 0; acc < 2; acc++) {
            const int64_t rows = shapes[i][0], cols = shapes[i][1], src_ld = cols + 3, dst_ld = cols + 5;
            parity_begin(p, HY_OP_copy2d, HY_TOL_F32_POINT);
            p->args.copy2d =
                (hy_copy2d_args){.rows = rows, .cols = cols, .src_ld = src_ld, .dst_ld = dst_ld, .acc = acc};
            p->args.copy2d.from = (hy_role)(i % 4);
            p->args.copy2d.to = (hy_role)(i / 2 % 4);
            PARITY_IN(p, hy_copy2d, src, rows * src_ld);
            PARITY_ACC(p, hy_copy2d, dst, rows * dst_ld); /* what lies between the rows stays */
            parity_run(p);
        }
    }
}

static void parity_axpy(parity *p) {
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        for (int mode = 0; mode < 4; mode++) {
            const int acc = mode & 1, aliased = mode >> 1;
            parity_begin(p, HY_OP_axpy, HY_TOL_F32_POINT);
            p->args.axpy = (hy_axpy_args){.n = lengths[i], .a = -0.37, .acc = acc};
            p->args.axpy.from = (hy_role)(i % 4);
            p->args.axpy.to = (hy_role)((i + !aliased) % 4);
            if (!aliased)
                PARITY_IN(p, hy_axpy, x, lengths[i]);
            PARITY_OUT_IF(p, hy_axpy, y, lengths[i], acc || aliased);
            if (aliased)
                PARITY_ALIAS(p, hy_axpy, x);
            parity_run(p);
        }
    }
}

static void parity_add(parity *p) {
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        for (int aliased = 0; aliased < 3; aliased++) {
            parity_begin(p, HY_OP_add, HY_TOL_F32_POINT);
            p->args.add = (hy_add_args){.n = lengths[i]};
            if (aliased != 1)
                PARITY_IN(p, hy_add, a, lengths[i]);
            if (aliased != 2)
                PARITY_IN(p, hy_add, b, lengths[i]);
            PARITY_OUT_IF(p, hy_add, y, lengths[i], aliased);
            if (aliased == 1)
                PARITY_ALIAS(p, hy_add, a);
            if (aliased == 2)
                PARITY_ALIAS(p, hy_add, b);
            parity_run(p);
        }
    }
}

static void parity_gemm(parity *p) {
    static const int64_t sizes[][3] = {{0, 3, 4},      {3, 0, 4},     {3, 5, 0},     {1, 1, 1},
                                       {5, 1, 9},      {1, 7, 3},     {17, 33, 9},   {64, 64, 64},
                                       {31, 130, 257}, {70, 300, 40}, {260, 33, 520}};
    static const double betas[] = {0, 1, -0.5};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int mode = 0; mode < 12; mode++) {
            const int ta = mode & 1, tb = mode >> 1 & 1;
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            const int64_t lda = (ta ? m : k) + 2, ldb = (tb ? k : n) + 1, ldc = n + 3;
            const double beta = betas[mode >> 2];
            parity_begin(p, HY_OP_gemm, HY_TOL_F32_SUM);
            snprintf(p->label, sizeof p->label, "gemm %d %d %d trans %d%d beta %g", (int)m, (int)n, (int)k, ta, tb,
                     beta);
            p->args.gemm = (hy_gemm_args){.a_role = (hy_role)(i % 4 == 2 ? 2 : i % 2),
                                          .b_role = (hy_role)(mode % 4 == 3 ? 3 : mode % 2),
                                          .c_role = (hy_role)((i + (size_t)mode) % 4),
                                          .trans_a = ta,
                                          .trans_b = tb,
                                          .m = m,
                                          .n = n,
                                          .k = k,
                                          .alpha = mode % 3 == 1 ? 0.7 : 1,
                                          .lda = lda,
                                          .ldb = ldb,
                                          .beta = beta,
                                          .ldc = ldc};
            PARITY_IN(p, hy_gemm, a, (ta ? k : m) * lda);
            PARITY_IN(p, hy_gemm, b, (tb ? n : k) * ldb);
            double *c = PARITY_ACC(p, hy_gemm, c, m * ldc);
            for (int64_t r = 0; beta == 0 && r < m; r++) /* not read */
                for (int64_t j = 0; j < n; j++)
                    c[r * ldc + j] = NAN;
            parity_run(p);
        }
    }
}

static void parity_bias_fwd(parity *p) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        parity_begin(p, HY_OP_bias_fwd, HY_TOL_F32_POINT);
        p->args.bias_fwd = (hy_bias_args){.rows = shapes[i][0], .cols = shapes[i][1], .role = (hy_role)(i % 4)};
        PARITY_IN(p, hy_bias, bias, shapes[i][1]);
        PARITY_ACC(p, hy_bias, y, shapes[i][0] * shapes[i][1]);
        parity_run(p);
    }
}

static void parity_bias_bwd(parity *p) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        parity_begin(p, HY_OP_bias_bwd, HY_TOL_F32_SUM);
        p->args.bias_bwd = (hy_bias_args){.rows = shapes[i][0], .cols = shapes[i][1], .role = (hy_role)(i % 4)};
        PARITY_IN(p, hy_bias, dy, shapes[i][0] * shapes[i][1]);
        PARITY_ACC(p, hy_bias, dbias, shapes[i][1]);
        parity_run(p);
    }
}

enum { VOCAB = 11 };

static void embed_case(parity *p, hy_op_id op) {
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        const int64_t T = shapes[i][0], D = shapes[i][1];
        int32_t tokens[256];
        for (int64_t t = 0; t < T; t++)
            tokens[t] = (int32_t)(parity_uniform(p) * VOCAB);
        parity_begin(p, op, op == HY_OP_embed_fwd ? HY_TOL_EXACT : HY_TOL_F32_SUM);
        p->args.embed_fwd =
            (hy_embed_args){.T = T, .D = D, .vocab = VOCAB, .frozen = (int64_t)i % 3 - 1, .tokens = tokens};
        if (op == HY_OP_embed_fwd) {
            PARITY_IN(p, hy_embed, w, VOCAB * D);
            PARITY_OUT(p, hy_embed, y, T * D);
        } else {
            PARITY_IN(p, hy_embed, dy, T * D);
            PARITY_ACC(p, hy_embed, dw, VOCAB * D);
        }
        parity_run(p);
    }
}

static void parity_embed_fwd(parity *p) {
    embed_case(p, HY_OP_embed_fwd);
}

static void parity_embed_bwd(parity *p) {
    embed_case(p, HY_OP_embed_bwd);
}

/* In a row of one column the gradient of a norm is what two equal terms leave: r·dy·w − r·dy·w·(1 − eps·r²), r = 1/|x|,
 * which is below 10 for most x. */
static double norm_terms(hy_op_id op, int64_t cols) {
    const int bwd = op == HY_OP_rmsnorm_bwd || op == HY_OP_layernorm_bwd || op == HY_OP_l2norm_bwd;
    return bwd && cols == 1 ? 10 : 0;
}

/* mode: bit 0 weight per head, bit 1 no weight, bit 2 accumulate dx, bit 3 leave out what may be NULL; bit 4: forward, of a sum; RMS
 * backward, with a gate; above it, RMS forward, with a gate. */
enum { NORM_MODES = 16, SUM_MODES = 32, GATE_MODES = 48 };

/* Addends whose sum bf16 has exactly: test_norm_of_sum.c has sums that are rounded. */
static void make_addends(double *x, double *branch, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = fmin(fmax(rint(16 * x[i]) / 16, -4), 4);
        branch[i] = fmin(fmax(rint(16 * branch[i]) / 16, -4), 4);
    }
}

static void rmsnorm_case(parity *p, hy_op_id op, int64_t rows, int64_t cols, int mode) {
    const int64_t w_rows = mode & 1 ? 3 : 1;
    const int has_w = !(mode & 2), acc = mode >> 2 & 1, sparse = mode >> 3 & 1, bwd = op == HY_OP_rmsnorm_bwd;
    static const hy_act acts[] = {HY_ACT_SILU, HY_ACT_SIGMOID, HY_ACT_IDENTITY, HY_ACT_RELU, HY_ACT_TANH};
    parity_begin(p, op, HY_TOL_F32_SUM);
    p->terms = norm_terms(op, cols);
    snprintf(p->label, sizeof p->label, "%s rows=%d cols=%d mode=%d", hy_op_name(op), (int)rows, (int)cols, mode);
    p->args.rmsnorm_fwd = (hy_rmsnorm_args){.rows = rows,
                                            .cols = cols,
                                            .w_rows = w_rows,
                                            .eps = 1e-5,
                                            .zero_centred = mode % 3 == 0,
                                            .acc = acc,
                                            .acc_gate = mode & 1};
    double *x = PARITY_IN(p, hy_rmsnorm, x, rows * cols);
    if (mode >= (bwd ? NORM_MODES : SUM_MODES)) {
        PARITY_IN(p, hy_rmsnorm, gate, rows * cols);
        p->args.rmsnorm_fwd.act = acts[(size_t)mode % COUNT_OF(acts)];
        if (bwd && (!sparse || acc))
            PARITY_OUT_IF(p, hy_rmsnorm, dgate, rows * cols, p->args.rmsnorm_fwd.acc_gate);
    } else if (mode >= NORM_MODES) {
        make_addends(x, PARITY_IN(p, hy_rmsnorm, branch, rows * cols), rows * cols);
        PARITY_OUT(p, hy_rmsnorm, sum, rows * cols);
    }
    if (has_w)
        PARITY_IN(p, hy_rmsnorm, w, w_rows * cols);
    if (op == HY_OP_rmsnorm_fwd) {
        PARITY_OUT(p, hy_rmsnorm, y, rows * cols);
    } else {
        PARITY_IN(p, hy_rmsnorm, dy, rows * cols);
        if (!sparse || !has_w)
            PARITY_OUT_IF(p, hy_rmsnorm, dx, rows * cols, acc);
        if (has_w && (!sparse || acc))
            PARITY_ACC(p, hy_rmsnorm, dw, w_rows * cols);
    }
    parity_run(p);
}

static void layernorm_case(parity *p, hy_op_id op, int64_t rows, int64_t cols, int mode) {
    const int64_t w_rows = mode & 1 ? 3 : 1;
    const int has_w = !(mode & 2), acc = mode >> 2 & 1, has_b = has_w && !(mode >> 3 & 1);
    parity_begin(p, op, HY_TOL_F32_SUM);
    p->terms = norm_terms(op, cols);
    snprintf(p->label, sizeof p->label, "%s rows=%d cols=%d mode=%d", hy_op_name(op), (int)rows, (int)cols, mode);
    p->args.layernorm_fwd = (hy_layernorm_args){.rows = rows, .cols = cols, .w_rows = w_rows, .eps = 1e-2, .acc = acc};
    double *x = PARITY_IN(p, hy_layernorm, x, rows * cols);
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] += 2;
    if (mode >= NORM_MODES) {
        make_addends(x, PARITY_IN(p, hy_layernorm, branch, rows * cols), rows * cols);
        PARITY_OUT(p, hy_layernorm, sum, rows * cols);
    }
    if (has_w)
        PARITY_IN(p, hy_layernorm, w, w_rows * cols);
    if (has_b)
        PARITY_IN(p, hy_layernorm, b, w_rows * cols);
    if (op == HY_OP_layernorm_fwd) {
        PARITY_OUT(p, hy_layernorm, y, rows * cols);
    } else {
        PARITY_IN(p, hy_layernorm, dy, rows * cols);
        PARITY_OUT_IF(p, hy_layernorm, dx, rows * cols, acc);
        if (has_w)
            PARITY_ACC(p, hy_layernorm, dw, w_rows * cols);
        if (has_b)
            PARITY_ACC(p, hy_layernorm, db, w_rows * cols);
    }
    parity_run(p);
}

/* l2norm and sumnorm; positive x, as a sum that may be near zero has no accuracy to compare. */
static void l2norm_case(parity *p, hy_op_id op, int64_t rows, int64_t cols, int mode) {
    parity_begin(p, op, HY_TOL_F32_SUM);
    p->terms = norm_terms(op, cols);
    p->args.l2norm_fwd = (hy_l2norm_args){.rows = rows, .cols = cols, .eps = 1e-6, .acc = mode & 1};
    double *x = PARITY_IN(p, hy_l2norm, x, rows * cols);
    for (int64_t i = 0; op != HY_OP_l2norm_fwd && op != HY_OP_l2norm_bwd && i < rows * cols; i++)
        x[i] = fabs(x[i]) + 0.1;
    if (op == HY_OP_l2norm_fwd || op == HY_OP_sumnorm_fwd) {
        PARITY_OUT(p, hy_l2norm, y, rows * cols);
    } else {
        PARITY_IN(p, hy_l2norm, dy, rows * cols);
        PARITY_OUT_IF(p, hy_l2norm, dx, rows * cols, mode & 1);
    }
    parity_run(p);
}

/* Norms of rows = T·3 heads. */
#define NORM_PARITY(op, one, modes)                                                                                    \
    static void parity_##op(parity *p) {                                                                               \
        for (size_t i = 0; i < COUNT_OF(shapes); i++)                                                                  \
            for (int mode = 0; mode < (modes); mode++)                                                                 \
                one(p, HY_OP_##op, 3 * shapes[i][0], shapes[i][1], mode);                                              \
    }
NORM_PARITY(rmsnorm_fwd, rmsnorm_case, GATE_MODES)
NORM_PARITY(rmsnorm_bwd, rmsnorm_case, SUM_MODES)
NORM_PARITY(layernorm_fwd, layernorm_case, SUM_MODES)
NORM_PARITY(layernorm_bwd, layernorm_case, NORM_MODES)
NORM_PARITY(l2norm_fwd, l2norm_case, NORM_MODES)
NORM_PARITY(l2norm_bwd, l2norm_case, NORM_MODES)
NORM_PARITY(sumnorm_fwd, l2norm_case, NORM_MODES)
NORM_PARITY(sumnorm_bwd, l2norm_case, NORM_MODES)

static void parity_cross_entropy(parity *p) {
    static const int64_t sizes[][2] = {{0, 5}, {1, 1}, {3, 17}, {9, 64}, {4, 1001}, {33, 2}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int mode = 0; mode < 4; mode++) {
            const int64_t rows = sizes[i][0], vocab = sizes[i][1];
            const double d_scale = 0.02;
            int32_t labels[64];
            for (int64_t r = 0; r < rows; r++)
                labels[r] = r % 4 == 1 ? -100 : (int32_t)(parity_uniform(p) * (double)vocab);
            parity_begin(p, HY_OP_cross_entropy, HY_TOL_F32_SUM);
            p->args.cross_entropy = (hy_cross_entropy_args){
                .rows = rows, .vocab = vocab, .labels = labels, .grad = mode & 1, .d_scale = &d_scale};
            double *x = PARITY_IN(p, hy_cross_entropy, logits, rows * vocab);
            if (mode & 1)
                PARITY_OUT(p, hy_cross_entropy, dlogits, rows * vocab);
            for (int64_t j = 0; mode >> 1 && j < rows * vocab; j++)
                x[j] = 40 * x[j] + 200; /* e^x alone would overflow */
            PARITY_SCALAR(p, hy_cross_entropy, loss);
            if (mode % 3 != 0)
                PARITY_HOST_OUT(p, hy_cross_entropy, row_loss, rows);
            parity_run(p);
        }
    }
}

static void parity_sumsq(parity *p) {
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        parity_begin(p, HY_OP_sumsq, HY_TOL_F32_SUM);
        p->args.sumsq = (hy_sumsq_args){.n = lengths[i]};
        PARITY_IN(p, hy_sumsq, x, lengths[i]);
        PARITY_SCALAR(p, hy_sumsq, sum);
        parity_run(p);
    }
}

/* Segments of every length, of both kinds, with and without gaps between them; no copy, one of weights, one of vectors. */
static void parity_adamw(parity *p) {
    static const int64_t steps[] = {1, 2, 1000};
    for (size_t n = 1; n <= COUNT_OF(lengths); n++) {
        for (size_t s = 0; s < COUNT_OF(steps); s++) {
            hy_adamw_segment segments[COUNT_OF(lengths)];
            int64_t end = 0;
            for (size_t i = 0; i < n; i++) {
                const int64_t gap = i % 3 == 1 ? 5 : 0;
                segments[i] = (hy_adamw_segment){end + gap, lengths[i], (i + s) % 2 == 0};
                end += gap + lengths[i];
            }
            parity_begin(p, HY_OP_adamw, HY_TOL_F32_SUM);
            p->args.adamw = (hy_adamw_args){.segments = segments,
                                            .n_segments = (int64_t)n,
                                            .step = steps[s],
                                            .lr = 1e-2,
                                            .b1 = 0.9,
                                            .b2 = 0.95,
                                            .eps = 1e-8,
                                            .decay = 0.1,
                                            .g_scale = 0.3,
                                            .copy_role = s == 1 ? HY_ROLE_WEIGHT : HY_ROLE_STAT};
            PARITY_IN(p, hy_adamw, g, end + 3);
            PARITY_ACC(p, hy_adamw, w, end + 3);
            PARITY_ACC(p, hy_adamw, m, end + 3);
            double *v = PARITY_ACC(p, hy_adamw, v, end + 3);
            for (int64_t j = 0; j < end + 3; j++)
                v[j] *= v[j];
            if (s > 0)
                PARITY_OUT(p, hy_adamw, copy, end + 3);
            parity_run(p);
        }
    }
}

#endif
