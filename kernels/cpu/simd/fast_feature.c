/* The softmax feature maps: a row has two parts p = e^(a·x − top), with a = ±1, each divided by its own sum, or with a
 * = ±2 (hedgehog), both divided by the sum of both. Backward, with Σ over what one sum divides: dx (+)= Σ over parts of
 * a·p/Σp·(dy − Σ p·dy/Σp) A row is rounded once. The other feature maps, and rows of more than COLS_MAX, stay
 * with the reference. */
#include <math.h>

#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/elementwise.h"

#define COLS_MAX 4096

typedef struct part {
    float a, top;
} part;

typedef struct sums {
    float p, p_dy;
} sums;

/* The first n lanes of v, zero behind them. */
HY_INLINE hy_vec first_lanes(hy_vec v, int64_t n) {
    return n == HY_VL ? v : hy_vec_select((hy_ivec)(hy_ivec_iota() < hy_ivec_set((int32_t)n)), v, hy_vec_zero());
}

HY_INLINE hy_vec part_of(const part *s, const hy_elem *x, int64_t i, int64_t n) {
    return first_lanes(hy_vec_exp(hy_vec_set(s->a) * hy_vec_load_tail(x + i, n) - hy_vec_set(s->top)), n);
}

static float largest(const hy_elem *x, int64_t d, float a) {
    float top = -INFINITY;
    for (int64_t i = 0; i < d; i++) {
        const float scaled = a * hy_elem_get(&x[i]);
        top = top < scaled ? scaled : top;
    }
    return top;
}

/* Both parts of a row of x. */
static void row_parts(const hy_feature_args *f, const hy_elem *x, part parts[2]) {
    const float a = f->kind == HY_FEATURES_HEDGEHOG ? 2 : 1;
    parts[0] = (part){a, largest(x, f->cols, a)};
    parts[1] = (part){-a, largest(x, f->cols, -a)};
    if (f->kind == HY_FEATURES_HEDGEHOG)
        parts[0].top = parts[1].top = fmaxf(parts[0].top, parts[1].top);
}

/* p, returns Σ p. */
static float part_fwd(const part *s, int64_t d, const hy_elem *x, float *p) {
    const hy_range all = {0, d};
    hy_vec sum = hy_vec_zero();
#define STEP(i, n)                                                                                                     \
    do {                                                                                                               \
        hy_vec one = part_of(s, x, i, n);                                                                              \
        hy_vec_store_tail(p + (i), one, n);                                                                            \
        sum += one;                                                                                                    \
    } while (0)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
    return hy_vec_sum(sum);
}

static void divide_rows(const float *p, int64_t d, float by, hy_elem *y) {
    const hy_range all = {0, d};
    const hy_vec factor = hy_vec_set(1 / by);
#define STEP(i, n) hy_vec_store_tail(y + (i), factor * hy_vec_load_tail(p + (i), n), n)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
}

static void row_fwd(const hy_feature_args *f, const hy_elem *x, hy_elem *y) {
    const int64_t d = f->cols;
    part parts[2];
    float p[2 * COLS_MAX];
    row_parts(f, x, parts);
    const float first = part_fwd(&parts[0], d, x, p), second = part_fwd(&parts[1], d, x, p + d);
    const int joined = f->kind == HY_FEATURES_HEDGEHOG;
    divide_rows(p, d, joined ? first + second : first, y);
    divide_rows(p + d, d, joined ? first + second : second, y + d);
}

static sums part_sums(const part *s, int64_t d, const hy_elem *x, const hy_elem *dy) {
    const hy_range all = {0, d};
    hy_vec sum = hy_vec_zero(), dot = hy_vec_zero();
#define STEP(i, n)                                                                                                     \
    do {                                                                                                               \
        hy_vec p = part_of(s, x, i, n);                                                                                \
        sum += p;                                                                                                      \
        dot += p * hy_vec_load_tail(dy + (i), n);                                                                      \
    } while (0)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
    return (sums){hy_vec_sum(sum), hy_vec_sum(dot)};
}

/* dx += what comes through one part. */
static void part_bwd(const part *s, sums over, int64_t d, const hy_elem *x, const hy_elem *dy, float *dx) {
    const hy_range all = {0, d};
    const hy_vec factor = hy_vec_set(s->a / over.p), mean = hy_vec_set(over.p_dy / over.p);
#define STEP(i, n) hy_vec_put(dx + (i), factor * part_of(s, x, i, n) * (hy_vec_load_tail(dy + (i), n) - mean), n, 1)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
}

static void row_bwd(const hy_feature_args *f, const hy_elem *x, const hy_elem *dy, hy_elem *dx) {
    const int64_t d = f->cols;
    const hy_range all = {0, d};
    part parts[2];
    float sum[COLS_MAX];
    row_parts(f, x, parts);
    sums first = part_sums(&parts[0], d, x, dy), second = part_sums(&parts[1], d, x, dy + d);
    if (f->kind == HY_FEATURES_HEDGEHOG)
        first = second = (sums){first.p + second.p, first.p_dy + second.p_dy};
#define STEP(i, n) hy_vec_store_tail(sum + (i), f->acc ? hy_vec_load_tail(dx + (i), n) : hy_vec_zero(), n)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
    part_bwd(&parts[0], first, d, x, dy, sum);
    part_bwd(&parts[1], second, d, x, dy + d, sum);
#define STEP(i, n) hy_vec_store_tail(dx + (i), hy_vec_load_tail(sum + (i), n), n)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
}

static int is_softmax(const hy_feature_args *f) {
    return (f->kind == HY_FEATURES_HEDGEHOG || f->kind == HY_FEATURES_TWO_SOFTMAX) && f->cols <= COLS_MAX;
}

void HY_ISA_NAME(hy_fast_feature_fwd)(const hy_feature_args *f) {
    if (!is_softmax(f)) {
        HY_ELEM_NAME(hy_ref_feature_fwd)(f);
        return;
    }
#pragma omp parallel for schedule(static) if (f->rows * f->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < f->rows; r++)
        row_fwd(f, (const hy_elem *)f->x + r * f->cols, (hy_elem *)f->y + 2 * r * f->cols);
}

void HY_ISA_NAME(hy_fast_feature_bwd)(const hy_feature_args *f) {
    if (!is_softmax(f)) {
        HY_ELEM_NAME(hy_ref_feature_bwd)(f);
        return;
    }
#pragma omp parallel for schedule(static) if (f->rows * f->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < f->rows; r++)
        row_bwd(f, (const hy_elem *)f->x + r * f->cols, (const hy_elem *)f->dy + 2 * r * f->cols,
                (hy_elem *)f->dx + r * f->cols);
}
