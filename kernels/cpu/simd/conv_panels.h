/* Depthwise convolutions wider than a few taps, one vector of channels at a time: its rows are copied into panels
 * [rows][HY_VL] without gaps, and everything is one product of panels, out_i = Σ_{k<n} a_k·x_{i+k}, whose sums stay in
 * registers:
 *
 *   p_i  = Σ_j w_j X_{i+j}                          outputs are tokens, a the taps
 *   dX_r = Σ_k w_{W−1−k} dp_{r−(W−1)+k}             outputs are rows of X, a the taps reversed; dp is 0 outside the run
 *   dw_j = Σ_i dp_i X_{i+j}                         outputs are taps, a is dp
 *
 * X, its rows and dp: fast_conv.c. Tokens go by blocks; the last W − 1 rows of a block are the first of the next. */
#ifndef HY_KERNELS_CPU_SIMD_CONV_PANELS_H
#define HY_KERNELS_CPU_SIMD_CONV_PANELS_H

#include "kernels/cpu/simd/conv_tokens.h"

#define HY_PANEL_WIDTH_MAX 1024 /* wider: cpu_ref */
#define HY_PANEL_TOKENS    128
#if HY_ISA_avx512
#define HY_PANEL_SUMS 12 /* outputs at a time: they and the inputs they meet in two steps fill the registers */
#else
#define HY_PANEL_SUMS 6
#endif

/* Outputs come in whole blocks, so panels have rows to spare; what is in those is not used. */
typedef struct hy_conv_panels {
    hy_vec w[HY_PANEL_WIDTH_MAX], reversed[HY_PANEL_WIDTH_MAX];
    hy_vec dw[HY_PANEL_WIDTH_MAX + HY_PANEL_SUMS];
    hy_vec x[HY_PANEL_WIDTH_MAX + HY_PANEL_TOKENS + HY_PANEL_SUMS];
    hy_vec dp[HY_PANEL_WIDTH_MAX + HY_PANEL_TOKENS + HY_PANEL_SUMS];
    hy_vec out[HY_PANEL_TOKENS + HY_PANEL_SUMS];
    hy_vec bias, dbias;
} hy_conv_panels;

/* out_i (+)= Σ_{k<n} a_k·x_{i+k} for i < m. */
HY_INLINE void hy_panel_product(hy_vec *out, int64_t m, const hy_vec *a, int64_t n, const hy_vec *x, const int acc) {
    for (int64_t i = 0; i < m; i += HY_PANEL_SUMS) {
        hy_vec s[HY_PANEL_SUMS];
        int64_t k = 0;
        HY_UNROLL
        for (int b = 0; b < HY_PANEL_SUMS; b++)
            s[b] = acc ? out[i + b] : hy_vec_zero();
        for (; k + 2 <= n; k += 2) {
            const hy_vec a0 = a[k], a1 = a[k + 1];
            hy_vec at = x[i + k];
            HY_UNROLL
            for (int b = 0; b < HY_PANEL_SUMS; b++) {
                const hy_vec next = x[i + k + b + 1];
                s[b] += a0 * at;
                s[b] += a1 * next;
                at = next;
            }
        }
        for (; k < n; k++) {
            HY_UNROLL
            for (int b = 0; b < HY_PANEL_SUMS; b++)
                s[b] += a[k] * x[i + k + b];
        }
        HY_UNROLL
        for (int b = 0; b < HY_PANEL_SUMS; b++)
            out[i + b] = s[b];
    }
}

HY_INLINE void hy_panels_init(const hy_conv_args *a, hy_conv_panels *p) {
    for (int64_t r = 0; r < a->W + HY_PANEL_TOKENS + HY_PANEL_SUMS; r++)
        p->x[r] = p->dp[r] = hy_vec_zero();
}

/* Row r of the run's X, channels c .. c + count − 1; zeros after its end. */
HY_INLINE hy_vec hy_panel_row(const hy_conv_args *a, const hy_run *run, int64_t r, int64_t c, int64_t count) {
    const int64_t before = a->W - 1;
    if (r >= before + run->len)
        return hy_vec_zero();
    if (r >= before || run->s0 == HY_RUN_GOES_ON)
        return hy_vec_load_tail((const hy_elem *)a->x + (run->begin + r - before) * a->C + c, count);
    if (run->s0 < 0 || a->halo == NULL)
        return hy_vec_zero();
    return hy_vec_load_tail((const hy_elem *)a->halo + (run->s0 * before + r) * a->C + c, count);
}

/* The gradient of that row. */
HY_INLINE void hy_panel_put_row(const hy_conv_args *a, const hy_run *run, int64_t r, int64_t c, int64_t count,
                                hy_vec v) {
    const int64_t before = a->W - 1;
    if ((r >= before || run->s0 == HY_RUN_GOES_ON) && a->dx != NULL)
        hy_vec_put((hy_elem *)a->dx + (run->begin + r - before) * a->C + c, v, count, r < before || a->acc);
    else if (r < before && run->s0 >= 0 && a->dhalo != NULL)
        hy_vec_put((hy_elem *)a->dhalo + (run->s0 * before + r) * a->C + c, v, count, 0);
}

HY_INLINE void hy_panels_begin(const hy_conv_args *a, hy_conv_panels *p, int64_t c, int64_t count) {
    for (int64_t j = 0; j < a->W; j++) {
        hy_vec w = hy_vec_zero();
        for (int64_t lane = 0; lane < count; lane++)
            w[lane] = ((const float *)a->w)[(c + lane) * a->W + j];
        p->w[j] = p->reversed[a->W - 1 - j] = w;
    }
    p->bias = a->bias != NULL ? hy_vec_load_tail((const float *)a->bias + c, count) : hy_vec_zero();
}

HY_INLINE void hy_panels_begin_bwd(const hy_conv_args *a, hy_conv_panels *p) {
    for (int64_t j = 0; j < a->W + HY_PANEL_SUMS; j++)
        p->dw[j] = hy_vec_zero();
    p->dbias = hy_vec_zero();
}

HY_INLINE void hy_panels_end_bwd(const hy_conv_args *a, const hy_conv_panels *p, int64_t c, int64_t count) {
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t j = 0; j < a->W; j++)
            ((float *)a->dw)[(c + lane) * a->W + j] += p->dw[j][lane];
    if (a->dbias != NULL)
        hy_vec_put((float *)a->dbias + c, p->dbias, count, 1);
}

HY_INLINE void hy_panels_fwd_run(const hy_conv_args *a, hy_conv_panels *p, const hy_run *run, int64_t c,
                                 int64_t count) {
    const int64_t before = a->W - 1;
    for (int64_t r = 0; r < before; r++)
        p->x[r] = hy_panel_row(a, run, r, c, count);
    for (int64_t i = 0; i < run->len; i += HY_PANEL_TOKENS) {
        const int64_t n = run->len - i < HY_PANEL_TOKENS ? run->len - i : HY_PANEL_TOKENS;
        hy_elem *y = (hy_elem *)a->y + (run->begin + i) * a->C + c;
        for (int64_t r = 0; r < n; r++)
            p->x[before + r] = hy_panel_row(a, run, i + before + r, c, count);
        hy_panel_product(p->out, n, p->w, a->W, p->x, 0);
        for (int64_t t = 0; t < n; t++) {
            const hy_vec sum = p->out[t] + p->bias;
            hy_vec_store_tail(y + t * a->C, a->act == HY_ACT_SILU ? hy_act_value(HY_ACT_SILU, sum) : sum, count);
        }
        memmove(p->x, p->x + n, (size_t)before * sizeof(hy_vec));
    }
}

/* dp of tokens i .. i + n − 1, zeros from the run's end on. */
HY_INLINE void hy_panels_dp(const hy_conv_args *a, hy_conv_panels *p, const hy_run *run, int64_t i, int64_t n,
                            int64_t c, int64_t count) {
    const hy_elem *dy = (const hy_elem *)a->dy + run->begin * a->C + c;
    if (a->act == HY_ACT_SILU)
        hy_panel_product(p->out, n, p->w, a->W, p->x, 0);
    for (int64_t t = 0; t < n; t++) {
        hy_vec dp = hy_vec_zero();
        if (i + t < run->len)
            dp = hy_conv_dp(a->act, p->out[t] + p->bias, hy_vec_load_tail(dy + (i + t) * a->C, count));
        p->dp[a->W - 1 + t] = dp;
        p->dbias += dp;
    }
}

HY_INLINE void hy_panels_bwd_run(const hy_conv_args *a, hy_conv_panels *p, const hy_run *run, int64_t c,
                                 int64_t count) {
    const int64_t before = a->W - 1, rows = before + run->len;
    for (int64_t r = 0; r < before; r++) {
        p->x[r] = hy_panel_row(a, run, r, c, count);
        p->dp[r] = hy_vec_zero();
    }
    for (int64_t i = 0; i < rows; i += HY_PANEL_TOKENS) {
        const int64_t n = rows - i < HY_PANEL_TOKENS ? rows - i : HY_PANEL_TOKENS;
        for (int64_t r = 0; r < n; r++)
            p->x[before + r] = hy_panel_row(a, run, i + before + r, c, count);
        hy_panels_dp(a, p, run, i, n, c, count);
        hy_panel_product(p->out, n, p->reversed, a->W, p->dp, 0);
        for (int64_t r = 0; r < n; r++)
            hy_panel_put_row(a, run, i + r, c, count, p->out[r]);
        hy_panel_product(p->dw, a->W, p->dp + before, n, p->x, 1);
        memmove(p->x, p->x + n, (size_t)before * sizeof(hy_vec));
        memmove(p->dp, p->dp + n, (size_t)before * sizeof(hy_vec));
    }
}

#endif
