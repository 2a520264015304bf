/* Operations that only move or add numbers: fill, copy2d, axpy, add, bias, embed, and Σ x². Sums over rows are split by
 * columns among threads, so every column is summed in row order. */
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"

void HY_ISA_NAME(hy_fast_fill)(const hy_fill_args *a) {
    float *y = a->y;
    const float value = (float)a->value;
#pragma omp parallel for simd schedule(static) if (a->n >= HY_PARALLEL_MIN)
    for (int64_t i = 0; i < a->n; i++)
        y[i] = value;
}

void HY_ISA_NAME(hy_fast_copy2d)(const hy_copy2d_args *a) {
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const float *src = (const float *)a->src + r * a->src_ld;
        float *dst = (float *)a->dst + r * a->dst_ld;
        if (!a->acc) {
            memcpy(dst, src, (size_t)a->cols * sizeof *dst);
            continue;
        }
#pragma omp simd
        for (int64_t c = 0; c < a->cols; c++)
            dst[c] += src[c];
    }
}

void HY_ISA_NAME(hy_fast_axpy)(const hy_axpy_args *a) {
    const float *x = a->x, factor = (float)a->a;
    float *y = a->y;
    if (a->acc) {
#pragma omp parallel for simd schedule(static) if (a->n >= HY_PARALLEL_MIN)
        for (int64_t i = 0; i < a->n; i++)
            y[i] += factor * x[i];
    } else {
#pragma omp parallel for simd schedule(static) if (a->n >= HY_PARALLEL_MIN)
        for (int64_t i = 0; i < a->n; i++)
            y[i] = factor * x[i];
    }
}

void HY_ISA_NAME(hy_fast_add)(const hy_add_args *a) {
    const float *x = a->a, *z = a->b;
    float *y = a->y;
#pragma omp parallel for simd schedule(static) if (a->n >= HY_PARALLEL_MIN)
    for (int64_t i = 0; i < a->n; i++)
        y[i] = x[i] + z[i];
}

void HY_ISA_NAME(hy_fast_bias_fwd)(const hy_bias_args *a) {
    const float *bias = a->bias;
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        float *y = (float *)a->y + r * a->cols;
#pragma omp simd
        for (int64_t c = 0; c < a->cols; c++)
            y[c] += bias[c];
    }
}

/* Columns in pieces whose sums stay in the first cache, apart from dbias, which may be far larger than they are. */
#define COLUMNS 1024

void HY_ISA_NAME(hy_fast_bias_bwd)(const hy_bias_args *a) {
#pragma omp parallel if (a->rows * a->cols >= HY_PARALLEL_MIN)
    {
        float sum[COLUMNS];
        hy_range r = hy_thread_range(a->cols, 16);
        for (int64_t begin = r.begin; begin < r.end; begin += COLUMNS) {
            int64_t n = r.end - begin < COLUMNS ? r.end - begin : COLUMNS;
            float *dbias = (float *)a->dbias + begin;
            memset(sum, 0, sizeof sum);
            for (int64_t row = 0; row < a->rows; row++) {
                const float *dy = (const float *)a->dy + row * a->cols + begin;
#pragma omp simd
                for (int64_t c = 0; c < n; c++)
                    sum[c] += dy[c];
            }
            for (int64_t c = 0; c < n; c++)
                dbias[c] += sum[c];
        }
    }
}

void HY_ISA_NAME(hy_fast_embed_fwd)(const hy_embed_args *a) {
#pragma omp parallel for schedule(static) if (a->T * a->D >= HY_PARALLEL_MIN)
    for (int64_t t = 0; t < a->T; t++)
        memcpy((float *)a->y + t * a->D, (const float *)a->w + a->tokens[t] * a->D, (size_t)a->D * sizeof(float));
}

void HY_ISA_NAME(hy_fast_embed_bwd)(const hy_embed_args *a) {
#pragma omp parallel if (a->T * a->D >= HY_PARALLEL_MIN)
    {
        hy_range r = hy_thread_range(a->D, 16);
        for (int64_t t = 0; t < a->T; t++) {
            const float *dy = (const float *)a->dy + t * a->D;
            float *dw = (float *)a->dw + a->tokens[t] * a->D;
            if (a->tokens[t] == a->frozen)
                continue;
#pragma omp simd
            for (int64_t c = r.begin; c < r.end; c++)
                dw[c] += dy[c];
        }
    }
}

/* Sums of pieces of PIECE elements are added in order. */
#define PIECE 4096

static double piece_sumsq(const float *x, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

void HY_ISA_NAME(hy_fast_sumsq)(const hy_sumsq_args *a) {
    const float *x = a->x;
    double total = 0;
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    {
        hy_range r = hy_thread_range(a->n, PIECE);
        double sum = 0;
        for (int64_t i = r.begin; i < r.end; i += PIECE)
            sum += piece_sumsq(x + i, r.end - i < PIECE ? r.end - i : PIECE);
#pragma omp for ordered schedule(static, 1)
        for (int t = 0; t < omp_get_num_threads(); t++) {
#pragma omp ordered
            total += sum;
        }
    }
    *a->sum += total;
}
