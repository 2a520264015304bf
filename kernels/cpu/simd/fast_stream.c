/* Operations that only move or add numbers: fill, copy2d, copy_blocks, axpy, add, rows_add, bias, embed, and Σ x². Sums over rows are split by
 * columns among threads, so every column is summed in row order. */
#include <string.h>

#include "kernels/cpu/list_ops.h"
#include "kernels/cpu/simd/elementwise.h"

HY_INLINE void fill_range(hy_role role, void *y, hy_vec value, hy_range r) {
#define STEP(i, n) hy_role_put(role, y, i, value, n, 0)
    HY_FOR_VECS(i, r, STEP);
#undef STEP
}

void HY_ISA_NAME(hy_fast_fill)(const hy_fill_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    fill_range(a->role, a->y, hy_vec_set((float)a->value), hy_thread_range(a->n, 64));
}

/* y (+)= factor·x, elements r; the roles are constants where this is called. */
HY_INLINE void axpy_as(const hy_role from, const hy_role to, float factor, const void *x, void *y, int acc,
                       hy_range r) {
    const hy_vec f = hy_vec_set(factor);
#define STEP(i, n) hy_role_put(to, y, i, f *hy_role_load(from, x, i, n), n, 1)
    if (acc) {
        HY_FOR_VECS(i, r, STEP);
        return;
    }
#undef STEP
#define STEP(i, n) hy_role_put(to, y, i, f *hy_role_load(from, x, i, n), n, 0)
    HY_FOR_VECS(i, r, STEP);
#undef STEP
}

HY_INLINE void axpy_range(hy_role from, hy_role to, float factor, const void *x, void *y, int acc, hy_range r) {
    if (hy_role_is_elem(from) && hy_role_is_elem(to))
        axpy_as(HY_ROLE_ACT, HY_ROLE_ACT, factor, x, y, acc, r);
    else if (hy_role_is_elem(from))
        axpy_as(HY_ROLE_ACT, HY_ROLE_STAT, factor, x, y, acc, r);
    else if (hy_role_is_elem(to))
        axpy_as(HY_ROLE_STAT, HY_ROLE_ACT, factor, x, y, acc, r);
    else
        axpy_as(HY_ROLE_STAT, HY_ROLE_STAT, factor, x, y, acc, r);
}

/* Bytes of an element. */
HY_INLINE int64_t size_of(hy_role role) {
    return hy_role_is_elem(role) ? (int64_t)sizeof(hy_elem) : (int64_t)sizeof(float);
}

void HY_ISA_NAME(hy_fast_copy2d)(const hy_copy2d_args *a) {
    const int64_t from = size_of(a->from), to = size_of(a->to);
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const char *src = (const char *)a->src + r * a->src_ld * from;
        char *dst = (char *)a->dst + r * a->dst_ld * to;
        if (!a->acc && from == to)
            memcpy(dst, src, (size_t)(a->cols * to));
        else
            axpy_range(a->from, a->to, 1.0f, src, dst, a->acc, (hy_range){0, a->cols});
    }
}

void HY_ISA_NAME(hy_fast_copy_blocks)(const hy_copy_blocks_args *a) {
    hy_blocks_by(a, (size_t)size_of(a->role), HY_ISA_NAME(hy_fast_copy2d), HY_ISA_NAME(hy_fast_transpose));
}

void HY_ISA_NAME(hy_fast_axpy)(const hy_axpy_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    axpy_range(a->from, a->to, (float)a->a, a->x, a->y, a->acc, hy_thread_range(a->n, 64));
}

void HY_ISA_NAME(hy_fast_rows_add)(const hy_rows_add_args *a) {
    for (int64_t b = 0; b < a->n_blocks; b++) {
        const hy_row_block *block = &a->blocks[b];
        const int64_t n = block->n * a->cols;
        const float *src = (const float *)a->src + block->from * a->cols;
        float *dst = (float *)a->dst + block->to * a->cols;
#pragma omp parallel if (n >= HY_PARALLEL_MIN)
        axpy_as(HY_ROLE_STAT, HY_ROLE_STAT, 1.0f, src, dst, 1, hy_thread_range(n, 64));
    }
}

static void add_range(const hy_elem *x, const hy_elem *z, hy_elem *y, hy_range r) {
#define STEP(i, n) hy_vec_store_tail(y + (i), hy_vec_load_tail(x + (i), n) + hy_vec_load_tail(z + (i), n), n)
    HY_FOR_VECS(i, r, STEP);
#undef STEP
}

void HY_ISA_NAME(hy_fast_add)(const hy_add_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    add_range(a->a, a->b, a->y, hy_thread_range(a->n, 64));
}

void HY_ISA_NAME(hy_fast_bias_fwd)(const hy_bias_args *a) {
    const float *bias = a->bias;
    const hy_range all = {0, a->cols};
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const int64_t row = r * a->cols;
#define STEP(c, n) hy_role_put(a->role, a->y, row + (c), hy_vec_load_tail(bias + (c), n), n, 1)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
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
                const int64_t at = row * a->cols + begin;
                const hy_range all = {0, n};
#define STEP(c, count) hy_vec_put(sum + (c), hy_role_load(a->role, a->dy, at + (c), count), count, 1)
                HY_FOR_VECS(c, all, STEP);
#undef STEP
            }
            for (int64_t c = 0; c < n; c++)
                dbias[c] += sum[c];
        }
    }
}

void HY_ISA_NAME(hy_fast_embed_fwd)(const hy_embed_args *a) {
#pragma omp parallel for schedule(static) if (a->T * a->D >= HY_PARALLEL_MIN)
    for (int64_t t = 0; t < a->T; t++)
        memcpy((hy_elem *)a->y + t * a->D, (const hy_elem *)a->w + a->tokens[t] * a->D, (size_t)a->D * sizeof(hy_elem));
}

void HY_ISA_NAME(hy_fast_embed_bwd)(const hy_embed_args *a) {
#pragma omp parallel if (a->T * a->D >= HY_PARALLEL_MIN)
    {
        hy_range r = hy_thread_range(a->D, 16);
        for (int64_t t = 0; t < a->T; t++) {
            const hy_elem *dy = (const hy_elem *)a->dy + t * a->D;
            float *dw = (float *)a->dw + a->tokens[t] * a->D;
            if (a->tokens[t] == a->frozen)
                continue;
#define STEP(c, n) hy_vec_put(dw + (c), hy_vec_load_tail(dy + (c), n), n, 1)
            HY_FOR_VECS(c, r, STEP);
#undef STEP
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
