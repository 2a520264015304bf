/* Depthwise causal convolution and activation. A thread has a range of channels, in pieces whose weights, turned to
 * [W,channels], and weight gradients stay in cache, and goes down the tokens of every run; sums are in token order.
 * Rows of a run count from its halo: row r < W − 1 is halo row r, row W − 1 + i is token i. With p the sum before act:
 *   p_i = bias + Σ_j w_j x_{row i+j};  dp = dy·act'(p);  dx_{row i+j} += w_j dp_i;  dw_j += dp_i x_{row i+j} */
#include <string.h>

#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/activation.h"
#include "kernels/cpu/simd/elementwise.h"

#define WIDTH_MAX   256   /* wider: cpu_ref */
#define WEIGHTS_MAX 16384 /* W times channels of a piece */
#define CHANNELS    512

typedef struct piece {
    int64_t begin, n;                      /* channels */
    float w[WEIGHTS_MAX], dw[WEIGHTS_MAX]; /* [W,n] */
    float bias[CHANNELS], dbias[CHANNELS];
    float zero[CHANNELS];
} piece;

/* Where the W input rows of a token, and their gradients, lie: NULL gradient = nobody wants it. */
typedef struct window {
    const float *x[WIDTH_MAX];
    float *dx[WIDTH_MAX];
} window;

static void piece_begin(const hy_conv_args *a, piece *p, int64_t begin, int64_t n) {
    p->begin = begin;
    p->n = n;
    for (int64_t c = 0; c < n; c++) {
        for (int64_t j = 0; j < a->W; j++)
            p->w[j * n + c] = ((const float *)a->w)[(begin + c) * a->W + j];
        p->bias[c] = a->bias != NULL ? ((const float *)a->bias)[begin + c] : 0.0f;
    }
    memset(p->zero, 0, sizeof p->zero);
}

static void piece_begin_bwd(const hy_conv_args *a, piece *p) {
    memset(p->dw, 0, (size_t)(a->W * p->n) * sizeof(float));
    memset(p->dbias, 0, sizeof p->dbias);
}

static void piece_end_bwd(const hy_conv_args *a, const piece *p) {
    for (int64_t c = 0; c < p->n; c++) {
        for (int64_t j = 0; j < a->W; j++)
            ((float *)a->dw)[(p->begin + c) * a->W + j] += p->dw[j * p->n + c];
        if (a->dbias != NULL)
            ((float *)a->dbias)[p->begin + c] += p->dbias[c];
    }
}

static void window_of(const hy_conv_args *a, const piece *p, const hy_run *run, int64_t i, window *rows) {
    const int64_t before = a->W - 1;
    for (int64_t j = 0; j < a->W; j++) {
        const int64_t r = i + j, token = (run->begin + r - before) * a->C + p->begin;
        const int64_t halo = (run->s0 * before + r) * a->C + p->begin;
        if (r >= before) {
            rows->x[j] = (const float *)a->x + token;
            rows->dx[j] = a->dx != NULL ? (float *)a->dx + token : NULL;
        } else {
            rows->x[j] = run->s0 >= 0 && a->halo != NULL ? (const float *)a->halo + halo : p->zero;
            rows->dx[j] = run->s0 >= 0 && a->dhalo != NULL ? (float *)a->dhalo + halo : NULL;
        }
    }
}

HY_INLINE hy_vec sum_before_act(const piece *p, const window *rows, const int64_t W, int64_t c, int64_t n) {
    hy_vec sum = hy_vec_load(p->bias + c);
    for (int64_t j = 0; j < W; j++)
        sum += hy_vec_load_tail(p->w + j * p->n + c, n) * hy_vec_load_tail(rows->x[j] + c, n);
    return sum;
}

HY_INLINE void fwd_token(const hy_conv_args *a, const piece *p, const window *rows, const int64_t W, int64_t token) {
    float *y = (float *)a->y + token * a->C + p->begin;
    const hy_range all = {0, p->n};
    hy_vec s;
#define STEP(c, n)                                                                                                     \
    s = sum_before_act(p, rows, W, c, n);                                                                              \
    hy_vec_store_tail(y + (c), a->act == HY_ACT_SILU ? hy_act_value(HY_ACT_SILU, s) : s, n)
    int64_t c = all.begin;
    for (; c + HY_VL <= all.end; c += HY_VL) {
        STEP(c, HY_VL);
    }
    if (c < all.end) {
        STEP(c, all.end - c);
    }
#undef STEP
}

/* The present token's dx is written here first (j = W − 1), later tokens add to it. */
HY_INLINE void bwd_step(const hy_conv_args *a, piece *p, const window *rows, const int64_t W, const float *dy,
                        int64_t c, int64_t n) {
    hy_vec d = hy_vec_load_tail(dy + c, n), value;
    if (a->act == HY_ACT_SILU)
        d *= hy_act_slope(HY_ACT_SILU, sum_before_act(p, rows, W, c, n), &value);
    for (int64_t j = 0; j < W; j++) {
        const hy_vec w = hy_vec_load_tail(p->w + j * p->n + c, n), x = hy_vec_load_tail(rows->x[j] + c, n);
        hy_vec_put(p->dw + j * p->n + c, d * x, n, 1);
        if (rows->dx[j] != NULL)
            hy_vec_put(rows->dx[j] + c, w * d, n, j < W - 1 || a->acc);
    }
    hy_vec_put(p->dbias + c, d, n, 1);
}

HY_INLINE void bwd_token(const hy_conv_args *a, piece *p, const window *rows, const int64_t W, int64_t token) {
    const float *dy = (const float *)a->dy + token * a->C + p->begin;
    const hy_range all = {0, p->n};
#define STEP(c, n) bwd_step(a, p, rows, W, dy, c, n)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

static void clear_halo(const hy_conv_args *a, const piece *p, const hy_run *run) {
    for (int64_t r = 0; r < a->W - 1 && run->s0 >= 0 && a->dhalo != NULL; r++)
        memset((float *)a->dhalo + (run->s0 * (a->W - 1) + r) * a->C + p->begin, 0, (size_t)p->n * sizeof(float));
}

/* Width 4, the usual one, unrolls. */
static void fwd_run(const hy_conv_args *a, piece *p, const hy_run *run) {
    window rows;
    for (int64_t i = 0; i < run->len; i++) {
        window_of(a, p, run, i, &rows);
        if (a->W == 4)
            fwd_token(a, p, &rows, 4, run->begin + i);
        else
            fwd_token(a, p, &rows, a->W, run->begin + i);
    }
}

static void bwd_run(const hy_conv_args *a, piece *p, const hy_run *run) {
    window rows;
    clear_halo(a, p, run);
    for (int64_t i = 0; i < run->len; i++) {
        window_of(a, p, run, i, &rows);
        if (a->W == 4)
            bwd_token(a, p, &rows, 4, run->begin + i);
        else
            bwd_token(a, p, &rows, a->W, run->begin + i);
    }
}

static int64_t piece_size(const hy_conv_args *a) {
    const int64_t fit = WEIGHTS_MAX / a->W;
    return fit < CHANNELS ? fit / 16 * 16 : CHANNELS;
}

void HY_ISA_NAME(hy_fast_conv_fwd)(const hy_conv_args *a) {
    if (a->W > WIDTH_MAX) {
        hy_ref_conv_fwd_f32(a);
        return;
    }
#pragma omp parallel if (a->T * a->C >= HY_PARALLEL_MIN)
    {
        const hy_range mine = hy_thread_range(a->C, 16);
        const int64_t size = piece_size(a);
        piece p;
        for (int64_t begin = mine.begin; begin < mine.end; begin += size) {
            piece_begin(a, &p, begin, mine.end - begin < size ? mine.end - begin : size);
            for (int64_t n = 0; n < a->n_runs; n++)
                fwd_run(a, &p, &a->runs[n]);
        }
    }
}

void HY_ISA_NAME(hy_fast_conv_bwd)(const hy_conv_args *a) {
    if (a->W > WIDTH_MAX) {
        hy_ref_conv_bwd_f32(a);
        return;
    }
#pragma omp parallel if (a->T * a->C >= HY_PARALLEL_MIN)
    {
        const hy_range mine = hy_thread_range(a->C, 16);
        const int64_t size = piece_size(a);
        piece p;
        for (int64_t begin = mine.begin; begin < mine.end; begin += size) {
            piece_begin(a, &p, begin, mine.end - begin < size ? mine.end - begin : size);
            piece_begin_bwd(a, &p);
            for (int64_t n = 0; n < a->n_runs; n++)
                bwd_run(a, &p, &a->runs[n]);
            piece_end_bwd(a, &p);
        }
    }
}
