/* The softmax feature maps: a row has two parts p = e^(a·x − top), with a = ±1, each divided by its own sum, or with a
 * = ±2 (hedgehog), both divided by the sum of both. Backward, with Σ over what one sum divides: dx (+)= Σ over parts of
 * a·p/Σp·(dy − Σ p·dy/Σp) The other feature maps stay with the reference. */
#include <math.h>

#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/elementwise.h"

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

HY_INLINE hy_vec part_of(const part *s, const float *x, int64_t i, int64_t n) {
    return first_lanes(hy_vec_exp(hy_vec_set(s->a) * hy_vec_load_tail(x + i, n) - hy_vec_set(s->top)), n);
}

static float largest(const float *x, int64_t d, float a) {
    float top = -INFINITY;
    for (int64_t i = 0; i < d; i++)
        top = top < a * x[i] ? a * x[i] : top;
    return top;
}

/* Both parts of a row of x. */
static void row_parts(const hy_feature_args *f, const float *x, part parts[2]) {
    const float a = f->kind == HY_FEATURES_HEDGEHOG ? 2 : 1;
    parts[0] = (part){a, largest(x, f->cols, a)};
    parts[1] = (part){-a, largest(x, f->cols, -a)};
    if (f->kind == HY_FEATURES_HEDGEHOG)
        parts[0].top = parts[1].top = fmaxf(parts[0].top, parts[1].top);
}

/* y = p, returns Σ p. */
static float part_fwd(const part *s, int64_t d, const float *x, float *y) {
    const hy_range all = {0, d};
    hy_vec sum = hy_vec_zero();
#define STEP(i, n)                                                                                                     \
    do {                                                                                                               \
        hy_vec p = part_of(s, x, i, n);                                                                                \
        hy_vec_store_tail(y + (i), p, n);                                                                              \
        sum += p;                                                                                                      \
    } while (0)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
    return hy_vec_sum(sum);
}

static void divide(float *y, int64_t d, float by) {
    const hy_range all = {0, d};
    const hy_vec factor = hy_vec_set(1 / by);
#define STEP(i, n) hy_vec_store_tail(y + (i), factor * hy_vec_load_tail(y + (i), n), n)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
}

static void row_fwd(const hy_feature_args *f, const float *x, float *y) {
    const int64_t d = f->cols;
    part parts[2];
    row_parts(f, x, parts);
    const float first = part_fwd(&parts[0], d, x, y), second = part_fwd(&parts[1], d, x, y + d);
    const int joined = f->kind == HY_FEATURES_HEDGEHOG;
    divide(y, d, joined ? first + second : first);
    divide(y + d, d, joined ? first + second : second);
}

static sums part_sums(const part *s, int64_t d, const float *x, const float *dy) {
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

static void part_bwd(const part *s, sums over, int64_t d, const float *x, const float *dy, float *dx, int acc) {
    const hy_range all = {0, d};
    const hy_vec factor = hy_vec_set(s->a / over.p), mean = hy_vec_set(over.p_dy / over.p);
#define STEP(i, n) hy_vec_put(dx + (i), factor * part_of(s, x, i, n) * (hy_vec_load_tail(dy + (i), n) - mean), n, acc)
    HY_FOR_VECS(i, all, STEP);
#undef STEP
}

static void row_bwd(const hy_feature_args *f, const float *x, const float *dy, float *dx) {
    const int64_t d = f->cols;
    part parts[2];
    row_parts(f, x, parts);
    sums first = part_sums(&parts[0], d, x, dy), second = part_sums(&parts[1], d, x, dy + d);
    if (f->kind == HY_FEATURES_HEDGEHOG)
        first = second = (sums){first.p + second.p, first.p_dy + second.p_dy};
    part_bwd(&parts[0], first, d, x, dy, dx, f->acc);
    part_bwd(&parts[1], second, d, x, dy + d, dx, 1);
}

static int is_softmax(const hy_feature_args *f) {
    return f->kind == HY_FEATURES_HEDGEHOG || f->kind == HY_FEATURES_TWO_SOFTMAX;
}

void HY_ISA_NAME(hy_fast_feature_fwd)(const hy_feature_args *f) {
    if (!is_softmax(f)) {
        hy_ref_feature_fwd_f32(f);
        return;
    }
#pragma omp parallel for schedule(static) if (f->rows * f->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < f->rows; r++)
        row_fwd(f, (const float *)f->x + r * f->cols, (float *)f->y + 2 * r * f->cols);
}

void HY_ISA_NAME(hy_fast_feature_bwd)(const hy_feature_args *f) {
    if (!is_softmax(f)) {
        hy_ref_feature_bwd_f32(f);
        return;
    }
#pragma omp parallel for schedule(static) if (f->rows * f->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < f->rows; r++)
        row_bwd(f, (const float *)f->x + r * f->cols, (const float *)f->dy + 2 * r * f->cols,
                (float *)f->dx + r * f->cols);
}
