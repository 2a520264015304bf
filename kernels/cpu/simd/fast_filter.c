/* Filters of convolutions, and the transpose that long ones need. A filter's exponentials are geometric series: one
 * table of BLOCK powers of λ serves every block of taps, times the block's first power, in double. A series ends where
 * float has nothing left of it. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"

enum { BLOCK = 64, TILE = 32 };

HY_INLINE void turn(const hy_elem *x, hy_elem *y, int acc) {
    if (acc)
        hy_elem_put(y, hy_elem_get(y) + hy_elem_get(x));
    else
        *y = *x;
}

void HY_ISA_NAME(hy_fast_transpose)(const hy_transpose_args *a) {
    const hy_elem *src = a->src;
    hy_elem *dst = a->dst;
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t c0 = 0; c0 < a->cols; c0 += TILE) {
        const int64_t c1 = c0 + TILE < a->cols ? c0 + TILE : a->cols;
        for (int64_t r0 = 0; r0 < a->rows; r0 += TILE) {
            const int64_t r1 = r0 + TILE < a->rows ? r0 + TILE : a->rows;
            for (int64_t c = c0; c < c1; c++)
                for (int64_t r = r0; r < r1; r++)
                    turn(&src[r * a->src_ld + c], &dst[c * a->dst_ld + r], a->acc);
        }
    }
}

/* ---- windows ---- */

static double alpha_of(const hy_window_filter_args *a, int64_t g) {
    if (a->log_alpha != NULL)
        return exp((double)((const float *)a->log_alpha)[g]);
    if (a->high == 0)
        return 0;
    return a->low * pow(a->high / a->low, a->G > 1 ? (double)g / (double)(a->G - 1) : 0);
}

static double age_of(const hy_window_filter_args *a, int64_t j) {
    return a->W > 1 ? (double)(a->W - 1 - j) / (double)(a->W - 1) : 0;
}

void HY_ISA_NAME(hy_fast_window_filter_fwd)(const hy_window_filter_args *a) {
    const int64_t group = a->G > 0 ? a->C / a->G : 0, W = a->W;
#pragma omp parallel for schedule(static) if (a->C * W >= HY_PARALLEL_MIN)
    for (int64_t g = 0; g < a->G; g++) {
        const double alpha = alpha_of(a, g);
        const float *h = (const float *)a->h + g * W;
        float *w = (float *)a->w + g * group * W;
        for (int64_t j = 0; j < W; j++)
            w[j] = (float)((double)h[j] * exp(-alpha * age_of(a, j)));
        for (int64_t c = 1; c < group; c++)
            memcpy(w + c * W, w, (size_t)W * sizeof *w);
    }
}

void HY_ISA_NAME(hy_fast_window_filter_bwd)(const hy_window_filter_args *a) {
    const int64_t group = a->G > 0 ? a->C / a->G : 0, W = a->W;
#pragma omp parallel for schedule(static) if (a->C * W >= HY_PARALLEL_MIN)
    for (int64_t g = 0; g < a->G; g++) {
        const double alpha = alpha_of(a, g);
        const float *h = (const float *)a->h + g * W, *dw = (const float *)a->dw + g * group * W;
        double d_alpha = 0;
        for (int64_t j = 0; j < W; j++) {
            const double damping = exp(-alpha * age_of(a, j));
            double sum = 0;
            for (int64_t c = 0; c < group; c++)
                sum += (double)dw[c * W + j];
            ((float *)a->dh)[g * W + j] += (float)(sum * damping);
            d_alpha -= sum * (double)h[j] * damping * age_of(a, j);
        }
        if (a->log_alpha != NULL)
            ((float *)a->dlog_alpha)[g] += (float)(d_alpha * alpha);
    }
}

/* ---- sums of exponentials ---- */

typedef struct series {
    float power[BLOCK], aged[BLOCK]; /* λ^i, i·λ^i */
    double step;                     /* λ^BLOCK */
} series;

static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static void series_init(series *s, float p) {
    const double lambda = exp(-softplus((double)p));
    double power = 1;
    for (int i = 0; i < BLOCK; i++) {
        s->power[i] = (float)power;
        s->aged[i] = (float)(power * i);
        power *= lambda;
    }
    s->step = power;
}

static int64_t block_at(int64_t t, int64_t L) {
    return L - t < BLOCK ? L - t : BLOCK;
}

void HY_ISA_NAME(hy_fast_modal_filter_fwd)(const hy_modal_filter_args *a) {
#pragma omp parallel for schedule(static) if (a->C * a->L >= HY_PARALLEL_MIN)
    for (int64_t c = 0; c < a->C; c++) {
        const int64_t at = (a->first + c) / a->group * a->N;
        float *h = (float *)a->h + c * a->L;
        memset(h, 0, (size_t)a->L * sizeof *h);
        for (int64_t n = 0; n < a->N; n++) {
            series s;
            double first = (double)((const float *)a->R)[at + n];
            series_init(&s, ((const float *)a->p)[at + n]);
            for (int64_t t = 0; t < a->L && !(fabs(first) < 1e-37); t += BLOCK, first *= s.step) {
                const float factor = (float)first;
                const int64_t count = block_at(t, a->L);
#pragma omp simd
                for (int64_t i = 0; i < count; i++)
                    h[t + i] += factor * s.power[i];
            }
        }
    }
}

/* Adds what channel c gives to one mode: *sum Σ dh_τ λ^τ, *aged Σ dh_τ τ λ^τ. */
static void mode_sums(const series *s, const float *dh, int64_t L, double *sum, double *aged) {
    double first = 1;
    for (int64_t t = 0; t < L && first > 1e-37; t += BLOCK, first *= s->step) {
        float block = 0, block_aged = 0;
        const int64_t count = block_at(t, L);
#pragma omp simd reduction(+ : block, block_aged)
        for (int64_t i = 0; i < count; i++) {
            block += dh[t + i] * s->power[i];
            block_aged += dh[t + i] * s->aged[i];
        }
        *sum += first * (double)block;
        *aged += first * ((double)t * (double)block + (double)block_aged);
    }
}

/* By filters, not channels: no two threads add to the same one. */
void HY_ISA_NAME(hy_fast_modal_filter_bwd)(const hy_modal_filter_args *a) {
    if (a->C == 0)
        return;
    const int64_t g0 = a->first / a->group, g1 = (a->first + a->C - 1) / a->group + 1;
#pragma omp parallel for schedule(static) if (a->C * a->L >= HY_PARALLEL_MIN)
    for (int64_t g = g0; g < g1; g++) {
        const int64_t from = g * a->group - a->first, end = from + a->group;
        for (int64_t n = g * a->N; n < (g + 1) * a->N; n++) {
            const double p = (double)((const float *)a->p)[n];
            double sum = 0, aged = 0;
            series s;
            series_init(&s, (float)p);
            for (int64_t c = from > 0 ? from : 0; c < end && c < a->C; c++)
                mode_sums(&s, (const float *)a->dh + c * a->L, a->L, &sum, &aged);
            ((float *)a->dR)[n] += (float)sum;
            ((float *)a->dp)[n] -= (float)((double)((const float *)a->R)[n] * aged / (1 + exp(-p)));
        }
    }
}
