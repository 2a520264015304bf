/* Depthwise causal convolution and activation. A thread has a range of channels and goes down the tokens of every run:
 * up to HY_CONV_WIDTH_MAX taps in pieces whose weights, turned to [W,channels], and weight gradients stay in cache
 * (conv_tokens.h), beyond that one vector of channels at a time (conv_panels.h). Sums are in token order.
 * Rows of a run count from its halo: row r < W − 1 is halo row r, row W − 1 + i is token i. With p the sum before act:
 *   p_i = bias + Σ_j w_j x_{row i+j};  dp = dy·act'(p);  dx_{row i+j} += w_j dp_i;  dw_j += dp_i x_{row i+j} */
#include <string.h>

#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/conv_panels.h"
#include "kernels/cpu/simd/elementwise.h"

static void piece_begin(const hy_conv_args *a, hy_conv_piece *p, int64_t begin, int64_t n) {
    p->begin = begin;
    p->n = n;
    for (int64_t c = 0; c < n; c++) {
        for (int64_t j = 0; j < a->W; j++)
            p->w[j * n + c] = ((const float *)a->w)[(begin + c) * a->W + j];
        p->bias[c] = a->bias != NULL ? ((const float *)a->bias)[begin + c] : 0.0f;
    }
    memset(p->zero, 0, (size_t)n * sizeof(hy_elem));
}

static void piece_begin_bwd(const hy_conv_args *a, hy_conv_piece *p) {
    memset(p->dw, 0, (size_t)(a->W * p->n) * sizeof(float));
    memset(p->dbias, 0, (size_t)p->n * sizeof(float));
}

static void piece_end_bwd(const hy_conv_args *a, const hy_conv_piece *p) {
    for (int64_t c = 0; c < p->n; c++) {
        for (int64_t j = 0; j < a->W; j++)
            ((float *)a->dw)[(p->begin + c) * a->W + j] += p->dw[j * p->n + c];
        if (a->dbias != NULL)
            ((float *)a->dbias)[p->begin + c] += p->dbias[c];
    }
}

/* Rows i .. i + n − 1 of a run. */
static void rows_of(const hy_conv_args *a, const hy_conv_piece *p, const hy_run *run, int64_t i, int64_t n,
                    hy_conv_rows *rows) {
    const int64_t before = a->W - 1;
    for (int64_t j = 0; j < n; j++) {
        const int64_t r = i + j, token = (run->begin + r - before) * a->C + p->begin;
        const int64_t halo = (run->s0 * before + r) * a->C + p->begin;
        rows->acc[j] = r >= before ? a->acc : run->s0 == HY_RUN_GOES_ON;
        if (r >= before || run->s0 == HY_RUN_GOES_ON) {
            rows->x[j] = (const hy_elem *)a->x + token;
            rows->dx[j] = a->dx != NULL ? (hy_elem *)a->dx + token : NULL;
        } else {
            rows->x[j] = run->s0 >= 0 && a->halo != NULL ? (const hy_elem *)a->halo + halo : p->zero;
            rows->dx[j] = run->s0 >= 0 && a->dhalo != NULL ? (hy_elem *)a->dhalo + halo : NULL;
        }
    }
}

/* CALL(1) ... CALL(4): the width as a constant. */
#define FOR_WIDTH(W, CALL)                                                                                             \
    switch (W) {                                                                                                       \
    case 1:                                                                                                            \
        CALL(1);                                                                                                       \
        break;                                                                                                         \
    case 2:                                                                                                            \
        CALL(2);                                                                                                       \
        break;                                                                                                         \
    case 3:                                                                                                            \
        CALL(3);                                                                                                       \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(4);                                                                                                       \
    }

static void conv_fwd_run(const hy_conv_args *a, const hy_conv_piece *p, const hy_run *run) {
    hy_conv_rows rows;
    for (int64_t i = 0; i < run->len; i += HY_CONV_TOKENS) {
        const int64_t n = run->len - i < HY_CONV_TOKENS ? run->len - i : HY_CONV_TOKENS;
        hy_elem *y = (hy_elem *)a->y + (run->begin + i) * a->C + p->begin;
        rows_of(a, p, run, i, a->W - 1 + n, &rows);
#define CALL(W) hy_conv_fwd_narrow(a, p, &rows, W, y, n)
        FOR_WIDTH(a->W, CALL)
#undef CALL
    }
}

static void conv_bwd_run(const hy_conv_args *a, hy_conv_piece *p, const hy_run *run) {
    hy_conv_rows rows;
    rows_of(a, p, run, 0, a->W - 1, &rows);
    hy_conv_carry_begin(a, p, &rows);
    for (int64_t i = 0; i < run->len; i += HY_CONV_TOKENS) {
        const int64_t n = run->len - i < HY_CONV_TOKENS ? run->len - i : HY_CONV_TOKENS;
        const hy_elem *dy = (const hy_elem *)a->dy + (run->begin + i) * a->C + p->begin;
        rows_of(a, p, run, i, a->W - 1 + n, &rows);
#define CALL(W) hy_conv_bwd_narrow(a, p, &rows, W, dy, n)
        FOR_WIDTH(a->W, CALL)
#undef CALL
    }
    rows_of(a, p, run, run->len, a->W - 1, &rows);
    hy_conv_carry_end(a, p, &rows);
}

static void fwd_narrow(const hy_conv_args *a, hy_range mine) {
    hy_conv_piece p;
    for (int64_t begin = mine.begin; begin < mine.end; begin += HY_CONV_CHANNELS) {
        piece_begin(a, &p, begin, mine.end - begin < HY_CONV_CHANNELS ? mine.end - begin : HY_CONV_CHANNELS);
        for (int64_t n = 0; n < a->n_runs; n++)
            conv_fwd_run(a, &p, &a->runs[n]);
    }
}

static void bwd_narrow(const hy_conv_args *a, hy_range mine) {
    hy_conv_piece p;
    for (int64_t begin = mine.begin; begin < mine.end; begin += HY_CONV_CHANNELS) {
        piece_begin(a, &p, begin, mine.end - begin < HY_CONV_CHANNELS ? mine.end - begin : HY_CONV_CHANNELS);
        piece_begin_bwd(a, &p);
        for (int64_t n = 0; n < a->n_runs; n++)
            conv_bwd_run(a, &p, &a->runs[n]);
        piece_end_bwd(a, &p);
    }
}

static void fwd_wide(const hy_conv_args *a, hy_range mine) {
    hy_conv_panels p;
    hy_panels_init(a, &p);
#define STEP(c, count)                                                                                                 \
    do {                                                                                                               \
        hy_panels_begin(a, &p, c, count);                                                                              \
        for (int64_t n = 0; n < a->n_runs; n++)                                                                        \
            hy_panels_fwd_run(a, &p, &a->runs[n], c, count);                                                           \
    } while (0)
    HY_FOR_VECS(c, mine, STEP);
#undef STEP
}

static void bwd_wide(const hy_conv_args *a, hy_range mine) {
    hy_conv_panels p;
    hy_panels_init(a, &p);
#define STEP(c, count)                                                                                                 \
    do {                                                                                                               \
        hy_panels_begin(a, &p, c, count);                                                                              \
        hy_panels_begin_bwd(a, &p);                                                                                    \
        for (int64_t n = 0; n < a->n_runs; n++)                                                                        \
            hy_panels_bwd_run(a, &p, &a->runs[n], c, count);                                                           \
        hy_panels_end_bwd(a, &p, c, count);                                                                            \
    } while (0)
    HY_FOR_VECS(c, mine, STEP);
#undef STEP
}

void HY_ISA_NAME(hy_fast_conv_fwd)(const hy_conv_args *a) {
    if (a->W > HY_PANEL_WIDTH_MAX) {
        HY_ELEM_NAME(hy_ref_conv_fwd)(a);
        return;
    }
#pragma omp parallel if (a->T * a->C * a->W >= HY_PARALLEL_MIN)
    (a->W > HY_CONV_WIDTH_MAX ? fwd_wide : fwd_narrow)(a, hy_thread_range(a->C, 16));
}

void HY_ISA_NAME(hy_fast_conv_bwd)(const hy_conv_args *a) {
    if (a->W > HY_PANEL_WIDTH_MAX) {
        HY_ELEM_NAME(hy_ref_conv_bwd)(a);
        return;
    }
#pragma omp parallel if (a->T * a->C * a->W >= HY_PARALLEL_MIN)
    (a->W > HY_CONV_WIDTH_MAX ? bwd_wide : bwd_narrow)(a, hy_thread_range(a->C, 16));
}
