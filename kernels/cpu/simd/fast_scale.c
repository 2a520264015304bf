/* A learned factor per channel, y[t,j] = add[t,j] + x[t, j/expand]·act(w[j/group]). A thread has whole columns of x and whole groups,
 * and goes down the tokens in pieces of COLUMNS, whose factors and sums stay in cache: sums are in token order. */
#include <string.h>

#include "kernels/cpu/simd/activation.h"
#include "kernels/cpu/simd/elementwise.h"

#define COLUMNS 4096

/* One piece: columns begin .. begin + n − 1 of y. */
typedef struct columns {
    int64_t begin, n;
    float factor[COLUMNS], slope[COLUMNS], sum[COLUMNS];
} columns;

/* act(w) and act'(w), by cases that are constant inside. */
HY_INLINE void evaluate(hy_act act, float w, float *factor, float *slope) {
    hy_vec value = hy_vec_zero(), s = hy_vec_zero();
    switch (act) {
#define HY_X(one)                                                                                                      \
    case one:                                                                                                          \
        s = hy_act_slope(one, hy_vec_set(w), &value);                                                                  \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
    *factor = value[0];
    *slope = s[0];
}

static void columns_begin(const hy_scale_args *a, columns *p, int64_t begin, int64_t end) {
    p->begin = begin;
    p->n = end - begin < COLUMNS ? end - begin : COLUMNS;
    for (int64_t c = 0; c < p->n; c++) {
        if (c > 0 && (begin + c) / a->group == (begin + c - 1) / a->group) {
            p->factor[c] = p->factor[c - 1];
            p->slope[c] = p->slope[c - 1];
        } else {
            evaluate(a->act, ((const float *)a->w)[(begin + c) / a->group], &p->factor[c], &p->slope[c]);
        }
    }
    memset(p->sum, 0, (size_t)p->n * sizeof(float));
}

/* Whole columns of x and whole groups for each thread, 16 at a time where both are single columns. */
static hy_range my_columns(const hy_scale_args *a) {
    const int64_t unit = a->expand * a->group, grain = unit < 16 ? 16 : 1;
    const hy_range units = hy_thread_range((a->cols + unit - 1) / unit, grain);
    const int64_t end = units.end * unit;
    return (hy_range){units.begin * unit, end < a->cols ? end : a->cols};
}

/* Columns of one x in this piece: c .. end − 1. */
HY_INLINE int64_t column_end(const hy_scale_args *a, const columns *p, int64_t c) {
    const int64_t end = ((p->begin + c) / a->expand + 1) * a->expand - p->begin;
    return end < p->n ? end : p->n;
}

HY_INLINE void fwd_token(const hy_scale_args *a, const columns *p, const float *x, const float *add, float *y) {
    if (a->expand == 1) {
        for (int64_t c = 0; c < p->n; c++)
            y[c] = x[p->begin + c] * p->factor[c];
    } else {
        for (int64_t c = 0, end; c < p->n; c = end) {
            const float one = x[(p->begin + c) / a->expand];
            end = column_end(a, p, c);
            for (int64_t j = c; j < end; j++)
                y[j] = one * p->factor[j];
        }
    }
    for (int64_t c = 0; add != NULL && c < p->n; c++)
        y[c] += add[c];
}

HY_INLINE void bwd_token(const hy_scale_args *a, columns *p, const float *x, const float *dy, float *dx) {
    if (a->expand == 1) {
        for (int64_t c = 0; c < p->n; c++) {
            p->sum[c] += dy[c] * x[p->begin + c];
            dx[p->begin + c] = dy[c] * p->factor[c] + (a->acc ? dx[p->begin + c] : 0.0f);
        }
        return;
    }
    for (int64_t c = 0, end; c < p->n; c = end) {
        const int64_t i = (p->begin + c) / a->expand;
        const float one = x[i];
        float sum = a->acc || (p->begin + c) % a->expand != 0 ? dx[i] : 0.0f;
        end = column_end(a, p, c);
#pragma omp simd reduction(+ : sum)
        for (int64_t j = c; j < end; j++) {
            p->sum[j] += dy[j] * one;
            sum += dy[j] * p->factor[j];
        }
        dx[i] = sum;
    }
}

void HY_ISA_NAME(hy_fast_scale_fwd)(const hy_scale_args *a) {
#pragma omp parallel if (a->T * a->cols >= HY_PARALLEL_MIN)
    {
        const hy_range mine = my_columns(a);
        columns p;
        for (int64_t begin = mine.begin; begin < mine.end; begin += COLUMNS) {
            columns_begin(a, &p, begin, mine.end);
            for (int64_t t = 0; t < a->T; t++) {
                const int64_t at = t * a->cols + begin;
                fwd_token(a, &p, (const float *)a->x + t * (a->cols / a->expand),
                          a->add != NULL ? (const float *)a->add + at : NULL, (float *)a->y + at);
            }
        }
    }
}

void HY_ISA_NAME(hy_fast_scale_bwd)(const hy_scale_args *a) {
#pragma omp parallel if (a->T * a->cols >= HY_PARALLEL_MIN)
    {
        const hy_range mine = my_columns(a);
        columns p;
        for (int64_t begin = mine.begin; begin < mine.end; begin += COLUMNS) {
            columns_begin(a, &p, begin, mine.end);
            for (int64_t t = 0; t < a->T; t++)
                bwd_token(a, &p, (const float *)a->x + t * (a->cols / a->expand),
                          (const float *)a->dy + t * a->cols + begin, (float *)a->dx + t * (a->cols / a->expand));
            for (int64_t c = 0; c < p.n; c++)
                ((float *)a->dw)[(begin + c) / a->group] += p.slope[c] * p.sum[c];
        }
    }
}
