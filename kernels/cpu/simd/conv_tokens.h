/* A few consecutive tokens of a narrow depthwise convolution over a piece of the channels; fast_conv.c states the
 * mathematics and finds the rows. One vector of channels stays in registers down the tokens, so that every number is
 * loaded once. The gradients of the last W − 1 rows are complete only with the tokens that follow: until then they are carried in
 * float, so that each is rounded once. */
#ifndef HY_KERNELS_CPU_SIMD_CONV_TOKENS_H
#define HY_KERNELS_CPU_SIMD_CONV_TOKENS_H

#include "kernels/cpu/simd/activation.h"
#include "kernels/cpu/simd/elementwise.h"

#define HY_CONV_TOKENS      8
#define HY_CONV_WIDTH_MAX   4 /* wider: conv_panels.h */
#define HY_CONV_CHANNELS    4096
#define HY_CONV_WEIGHTS_MAX (HY_CONV_WIDTH_MAX * HY_CONV_CHANNELS)

typedef struct hy_conv_piece {
    int64_t begin, n;                                      /* channels */
    float w[HY_CONV_WEIGHTS_MAX], dw[HY_CONV_WEIGHTS_MAX]; /* [W,n] */
    float bias[HY_CONV_CHANNELS], dbias[HY_CONV_CHANNELS];
    float carry[HY_CONV_WIDTH_MAX *
                HY_CONV_CHANNELS]; /* [W−1,n] what the tokens before gave to the first rows, and what was there */
    hy_elem zero[HY_CONV_CHANNELS];
} hy_conv_piece;

/* Where the W − 1 + tokens input rows and their gradients lie, from the piece's first channel on. A NULL gradient is
 * wanted by nobody. */
typedef struct hy_conv_rows {
    const hy_elem *x[HY_CONV_WIDTH_MAX + HY_CONV_TOKENS];
    hy_elem *dx[HY_CONV_WIDTH_MAX + HY_CONV_TOKENS];
    int acc[HY_CONV_WIDTH_MAX + HY_CONV_TOKENS]; /* dx is added to */
} hy_conv_rows;

/* dp, and dbias through it, of one vector: dy·act'(p). */
HY_INLINE hy_vec hy_conv_dp(const hy_act act, hy_vec p, hy_vec dy) {
    hy_vec value;
    return act == HY_ACT_SILU ? dy * hy_act_slope(HY_ACT_SILU, p, &value) : dy;
}

/* Channels c .. c + count − 1. */
HY_INLINE void hy_conv_fwd_column(const hy_conv_args *a, const hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  hy_elem *y, int64_t n, int64_t c, int64_t count) {
    hy_vec w[HY_CONV_WIDTH_MAX], x[HY_CONV_WIDTH_MAX];
    HY_UNROLL
    for (int j = 0; j < W; j++) {
        w[j] = hy_vec_load_tail(p->w + j * p->n + c, count);
        x[j] = j < W - 1 ? hy_vec_load_tail(rows->x[j] + c, count) : hy_vec_zero();
    }
    const hy_vec bias = hy_vec_load_tail(p->bias + c, count);
    for (int64_t t = 0; t < n; t++) {
        x[W - 1] = hy_vec_load_tail(rows->x[t + W - 1] + c, count);
        hy_vec sum = bias;
        HY_UNROLL
        for (int j = 0; j < W; j++)
            sum += w[j] * x[j];
        HY_UNROLL
        for (int j = 0; j < W - 1; j++)
            x[j] = x[j + 1];
        hy_vec_store_tail(y + t * a->C + c, a->act == HY_ACT_SILU ? hy_act_value(HY_ACT_SILU, sum) : sum, count);
    }
}

/* What dx of row r holds before its first gradient, if it is added to. */
HY_INLINE hy_vec hy_conv_held(const hy_conv_rows *rows, int64_t r, int64_t c, int64_t count) {
    return rows->acc[r] && rows->dx[r] != NULL ? hy_vec_load_tail(rows->dx[r] + c, count) : hy_vec_zero();
}

/* Row r is complete. */
HY_INLINE void hy_conv_finish(const hy_conv_rows *rows, int64_t r, hy_vec v, int64_t c, int64_t count) {
    if (rows->dx[r] != NULL)
        hy_vec_store_tail(rows->dx[r] + c, v, count);
}

/* Before the first tokens of a run and after its last. */
HY_INLINE void hy_conv_carry_begin(const hy_conv_args *a, hy_conv_piece *p, const hy_conv_rows *rows) {
    const hy_range all = {0, p->n};
    for (int64_t j = 0; j < a->W - 1; j++) {
#define STEP(c, count) hy_vec_store_tail(p->carry + j * p->n + (c), hy_conv_held(rows, j, c, count), count)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

HY_INLINE void hy_conv_carry_end(const hy_conv_args *a, const hy_conv_piece *p, const hy_conv_rows *rows) {
    const hy_range all = {0, p->n};
    for (int64_t j = 0; j < a->W - 1; j++) {
#define STEP(c, count) hy_conv_finish(rows, j, hy_vec_load_tail(p->carry + j * p->n + (c), count), c, count)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

HY_INLINE void hy_conv_bwd_column(const hy_conv_args *a, hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  const hy_elem *dy, int64_t n, int64_t c, int64_t count) {
    hy_vec w[HY_CONV_WIDTH_MAX], x[HY_CONV_WIDTH_MAX], dw[HY_CONV_WIDTH_MAX], dx[HY_CONV_WIDTH_MAX],
        carry[HY_CONV_WIDTH_MAX], dbias = hy_vec_zero();
    HY_UNROLL
    for (int j = 0; j < W - 1; j++)
        carry[j] = hy_vec_load_tail(p->carry + j * p->n + c, count);
    HY_UNROLL
    for (int j = 0; j < W; j++) {
        w[j] = hy_vec_load_tail(p->w + j * p->n + c, count);
        x[j] = j < W - 1 ? hy_vec_load_tail(rows->x[j] + c, count) : hy_vec_zero();
        dw[j] = dx[j] = hy_vec_zero();
    }
    const hy_vec bias = hy_vec_load_tail(p->bias + c, count);
    for (int64_t t = 0; t < n; t++) {
        x[W - 1] = hy_vec_load_tail(rows->x[t + W - 1] + c, count);
        hy_vec sum = bias;
        HY_UNROLL
        for (int j = 0; j < W; j++)
            sum += w[j] * x[j];
        const hy_vec d = hy_conv_dp(a->act, sum, hy_vec_load_tail(dy + t * a->C + c, count));
        dbias += d;
        HY_UNROLL
        for (int j = 0; j < W; j++) {
            dw[j] += d * x[j];
            dx[j] += d * w[j];
        }
        hy_conv_finish(rows, t, dx[0] + (W > 1 && t < W - 1 ? carry[0] : hy_conv_held(rows, t, c, count)), c, count);
        HY_UNROLL
        for (int j = 0; j < W - 1; j++) {
            x[j] = x[j + 1];
            dx[j] = dx[j + 1];
            carry[j] = j < W - 2 ? carry[j + 1] : hy_vec_zero();
        }
        dx[W - 1] = hy_vec_zero();
    }
    HY_UNROLL
    for (int j = 0; j < W - 1; j++) {
        const hy_vec before = n + j < W - 1 ? carry[j] : hy_conv_held(rows, n + j, c, count);
        hy_vec_store_tail(p->carry + j * p->n + c, dx[j] + before, count);
    }
    HY_UNROLL
    for (int j = 0; j < W; j++)
        hy_vec_put(p->dw + j * p->n + c, dw[j], count, 1);
    hy_vec_put(p->dbias + c, dbias, count, 1);
}

HY_INLINE void hy_conv_fwd_narrow(const hy_conv_args *a, const hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  hy_elem *y, int64_t n) {
    const hy_range all = {0, p->n};
#define STEP(c, count) hy_conv_fwd_column(a, p, rows, W, y, n, c, count)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

HY_INLINE void hy_conv_bwd_narrow(const hy_conv_args *a, hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  const hy_elem *dy, int64_t n) {
    const hy_range all = {0, p->n};
#define STEP(c, count) hy_conv_bwd_column(a, p, rows, W, dy, n, c, count)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

#endif
