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
    float product[COLUMNS]; /* of one token, before something is added */
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

/* Columns of one piece: whole columns of x, whose gradients are then rounded once, unless one alone is more than a piece. */
static int64_t scale_piece_of(const hy_scale_args *a) {
    return a->expand <= COLUMNS ? COLUMNS / a->expand * a->expand : COLUMNS;
}

static void columns_begin(const hy_scale_args *a, columns *p, int64_t begin, int64_t end) {
    p->begin = begin;
    p->n = end - begin < scale_piece_of(a) ? end - begin : scale_piece_of(a);
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

/* The token's products x ⊙ factor, into y from element `at` on, whose role is `to`. `x_at`: where the token's x begin. */
HY_INLINE void multiply_token(const hy_scale_args *a, const columns *p, int64_t x_at, hy_role to, void *y, int64_t at) {
    const hy_range all = {0, p->n};
    if (a->expand == 1) {
#define STEP(c, n)                                                                                                     \
    hy_role_put(to, y, at + (c),                                                                                       \
                hy_role_load(a->role, a->x, x_at + p->begin + (c), n) * hy_vec_load_tail(p->factor + (c), n), n, 0)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
        return;
    }
    for (int64_t c = 0, end; c < p->n; c = end) {
        end = column_end(a, p, c);
        const hy_vec one = hy_vec_set(hy_role_get(a->role, a->x, x_at + (p->begin + c) / a->expand));
        const hy_range mine = {c, end};
#define STEP(j, n) hy_role_put(to, y, at + (j), one * hy_vec_load_tail(p->factor + (j), n), n, 0)
        HY_FOR_VECS(j, mine, STEP);
#undef STEP
    }
}

HY_INLINE void fwd_token(const hy_scale_args *a, columns *p, int64_t x_at, int64_t at) {
    const hy_range all = {0, p->n};
    if (a->add == NULL) {
        multiply_token(a, p, x_at, a->role, a->y, at);
        return;
    }
    multiply_token(a, p, x_at, HY_ROLE_STAT, p->product, 0);
#define STEP(c, n)                                                                                                     \
    hy_role_put(a->role, a->y, at + (c),                                                                               \
                hy_vec_load_tail(p->product + (c), n) + hy_role_load(a->role, a->add, at + (c), n), n, 0)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

HY_INLINE void bwd_token(const hy_scale_args *a, columns *p, int64_t x_at, int64_t at) {
    const hy_range all = {0, p->n};
    if (a->expand == 1) {
        const int64_t i = x_at + p->begin;
#define STEP(c, n)                                                                                                     \
    do {                                                                                                               \
        const hy_vec dy = hy_role_load(a->role, a->dy, at + (c), n);                                                   \
        hy_vec_put(p->sum + (c), dy * hy_role_load(a->role, a->x, i + (c), n), n, 1);                                  \
        hy_role_put(a->role, a->dx, i + (c), dy * hy_vec_load_tail(p->factor + (c), n), n, a->acc);                    \
    } while (0)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
        return;
    }
    for (int64_t c = 0, end; c < p->n; c = end) {
        const int64_t i = x_at + (p->begin + c) / a->expand;
        const float one = hy_role_get(a->role, a->x, i);
        float sum = a->acc || (p->begin + c) % a->expand != 0 ? hy_role_get(a->role, a->dx, i) : 0.0f;
        end = column_end(a, p, c);
#pragma omp simd reduction(+ : sum)
        for (int64_t j = c; j < end; j++) {
            const float dy = hy_role_get(a->role, a->dy, at + j);
            p->sum[j] += dy * one;
            sum += dy * p->factor[j];
        }
        hy_role_set(a->role, a->dx, i, sum);
    }
}

void HY_ISA_NAME(hy_fast_scale_fwd)(const hy_scale_args *a) {
#pragma omp parallel if (a->T * a->cols >= HY_PARALLEL_MIN)
    {
        const hy_range mine = my_columns(a);
        columns p;
        for (int64_t begin = mine.begin; begin < mine.end; begin += scale_piece_of(a)) {
            columns_begin(a, &p, begin, mine.end);
            for (int64_t t = 0; t < a->T; t++)
                fwd_token(a, &p, t * (a->cols / a->expand), t * a->cols + begin);
        }
    }
}

void HY_ISA_NAME(hy_fast_scale_bwd)(const hy_scale_args *a) {
#pragma omp parallel if (a->T * a->cols >= HY_PARALLEL_MIN)
    {
        const hy_range mine = my_columns(a);
        columns p;
        for (int64_t begin = mine.begin; begin < mine.end; begin += scale_piece_of(a)) {
            columns_begin(a, &p, begin, mine.end);
            for (int64_t t = 0; t < a->T; t++)
                bwd_token(a, &p, t * (a->cols / a->expand), t * a->cols + begin);
            for (int64_t c = 0; c < p.n; c++)
                ((float *)a->dw)[(begin + c) / a->group] += p.slope[c] * p.sum[c];
        }
    }
}
