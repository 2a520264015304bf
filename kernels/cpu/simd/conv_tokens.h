/* A few consecutive tokens of a narrow depthwise convolution over a piece of the channels; fast_conv.c states the
 * mathematics and finds the rows. One vector of channels stays in registers down the tokens, so that every number is
 * loaded once. */
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
    float zero[HY_CONV_CHANNELS];
} hy_conv_piece;

/* Where the W − 1 + tokens input rows and their gradients lie, from the piece's first channel on. A NULL gradient is
 * wanted by nobody. */
typedef struct hy_conv_rows {
    const float *x[HY_CONV_WIDTH_MAX + HY_CONV_TOKENS];
    float *dx[HY_CONV_WIDTH_MAX + HY_CONV_TOKENS];
} hy_conv_rows;

/* dp, and dbias through it, of one vector: dy·act'(p). */
HY_INLINE hy_vec hy_conv_dp(const hy_act act, hy_vec p, hy_vec dy) {
    hy_vec value;
    return act == HY_ACT_SILU ? dy * hy_act_slope(HY_ACT_SILU, p, &value) : dy;
}

/* Channels c .. c + count − 1. */
HY_INLINE void hy_conv_fwd_column(const hy_conv_args *a, const hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  float *y, int64_t n, int64_t c, int64_t count) {
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

HY_INLINE void hy_conv_put(float *dx, hy_vec v, int64_t count, int acc) {
    if (dx != NULL)
        hy_vec_put(dx, v, count, acc);
}

/* The first W − 1 rows have been written by the tokens before, the others are written here first. */
HY_INLINE void hy_conv_bwd_column(const hy_conv_args *a, hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  const float *dy, int64_t n, int64_t c, int64_t count) {
    hy_vec w[HY_CONV_WIDTH_MAX], x[HY_CONV_WIDTH_MAX], dw[HY_CONV_WIDTH_MAX], dx[HY_CONV_WIDTH_MAX],
        dbias = hy_vec_zero();
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
        hy_conv_put(rows->dx[t] == NULL ? NULL : rows->dx[t] + c, dx[0], count, t < W - 1 || a->acc);
        HY_UNROLL
        for (int j = 0; j < W - 1; j++) {
            x[j] = x[j + 1];
            dx[j] = dx[j + 1];
        }
        dx[W - 1] = hy_vec_zero();
    }
    for (int64_t r = n; r < n + W - 1; r++)
        hy_conv_put(rows->dx[r] == NULL ? NULL : rows->dx[r] + c, dx[r - n], count, r < W - 1 || a->acc);
    HY_UNROLL
    for (int j = 0; j < W; j++)
        hy_vec_put(p->dw + j * p->n + c, dw[j], count, 1);
    hy_vec_put(p->dbias + c, dbias, count, 1);
}

HY_INLINE void hy_conv_fwd_narrow(const hy_conv_args *a, const hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  float *y, int64_t n) {
    const hy_range all = {0, p->n};
#define STEP(c, count) hy_conv_fwd_column(a, p, rows, W, y, n, c, count)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

HY_INLINE void hy_conv_bwd_narrow(const hy_conv_args *a, hy_conv_piece *p, const hy_conv_rows *rows, const int W,
                                  const float *dy, int64_t n) {
    const hy_range all = {0, p->n};
#define STEP(c, count) hy_conv_bwd_column(a, p, rows, W, dy, n, c, count)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

#endif
