/* unary: y = max(scale·act(x), floor).  glu: y = a ⊙ act(z), one z for `group` elements of a. One loop per activation.
 */
#include "kernels/cpu/simd/activation.h"
#include "kernels/cpu/simd/elementwise.h"

/* A lane where x is NaN stays NaN: hy_vec_max keeps the NaN of its second argument. */
HY_INLINE void unary_fwd_range(const hy_unary_args *a, const hy_act act, hy_range r) {
    const hy_vec scale = hy_vec_set((float)a->scale), floor = hy_vec_set((float)a->floor);
#define STEP(i, n)                                                                                                     \
    hy_role_put(a->to, a->y, i, hy_vec_max(floor, scale *hy_act_value(act, hy_role_load(a->from, a->x, i, n))), n, 0)
    HY_FOR_VECS(i, r, STEP);
#undef STEP
}

HY_INLINE void unary_bwd_step(const hy_unary_args *a, const hy_act act, int64_t i, int64_t n) {
    hy_vec value, slope = hy_act_slope(act, hy_role_load(a->from, a->x, i, n), &value);
    hy_ivec held = (hy_ivec)(hy_vec_set((float)a->scale) * value < hy_vec_set((float)a->floor));
    hy_vec d = hy_role_load(a->to, a->dy, i, n) * hy_vec_set((float)a->scale) * slope;
    hy_role_put(a->from, a->dx, i, hy_vec_select(held, hy_vec_zero(), d), n, a->acc);
}

HY_INLINE void unary_bwd_range(const hy_unary_args *a, const hy_act act, hy_range r) {
#define STEP(i, n) unary_bwd_step(a, act, i, n)
    HY_FOR_VECS(i, r, STEP);
#undef STEP
}

static void unary_fwd_part(const hy_unary_args *a, hy_range r) {
    switch (a->act) {
#define HY_X(act)                                                                                                      \
    case act:                                                                                                          \
        unary_fwd_range(a, act, r);                                                                                    \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
}

static void unary_bwd_part(const hy_unary_args *a, hy_range r) {
    switch (a->act) {
#define HY_X(act)                                                                                                      \
    case act:                                                                                                          \
        unary_bwd_range(a, act, r);                                                                                    \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
}

void HY_ISA_NAME(hy_fast_unary_fwd)(const hy_unary_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    unary_fwd_part(a, hy_thread_range(a->n, 64));
}

void HY_ISA_NAME(hy_fast_unary_bwd)(const hy_unary_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    unary_bwd_part(a, hy_thread_range(a->n, 64));
}

/* Elements r of z; for group > 1, z is one value repeated. */
HY_INLINE void glu_fwd_range(const hy_glu_args *a, const hy_act act, hy_range r) {
    const hy_elem *x = a->a;
    hy_elem *y = a->y;
    if (a->group == 1) {
#define STEP(i, n)                                                                                                     \
    hy_vec_store_tail(y + (i), hy_vec_load_tail(x + (i), n) * hy_act_value(act, hy_role_load(a->z_role, a->z, i, n)), n)
        HY_FOR_VECS(i, r, STEP);
#undef STEP
        return;
    }
    for (int64_t j = r.begin; j < r.end; j++) {
        const hy_vec gate = hy_act_value(act, hy_vec_set(hy_role_get(a->z_role, a->z, j)));
        const hy_range row = {j * a->group, (j + 1) * a->group};
#define STEP(i, n) hy_vec_store_tail(y + (i), hy_vec_load_tail(x + (i), n) * gate, n)
        HY_FOR_VECS(i, row, STEP);
#undef STEP
    }
}

HY_INLINE void glu_bwd_step(const hy_glu_args *a, const hy_act act, int64_t i, int64_t n) {
    hy_vec x = hy_vec_load_tail((const hy_elem *)a->a + i, n), dy = hy_vec_load_tail((const hy_elem *)a->dy + i, n);
    hy_vec value, slope = hy_act_slope(act, hy_role_load(a->z_role, a->z, i, n), &value);
    hy_vec_put((hy_elem *)a->da + i, dy * value, n, a->acc_a);
    hy_role_put(a->z_role, a->dz, i, dy * x * slope, n, a->acc_z);
}

HY_INLINE void glu_bwd_group(const hy_glu_args *a, const hy_act act, int64_t j) {
    const hy_elem *x = a->a, *dy = a->dy;
    hy_elem *da = a->da;
    const hy_range row = {j * a->group, (j + 1) * a->group};
    hy_vec value, slope = hy_act_slope(act, hy_vec_set(hy_role_get(a->z_role, a->z, j)), &value), sum = hy_vec_zero(),
                  d;
#define STEP(i, n)                                                                                                     \
    d = hy_vec_load_tail(dy + (i), n);                                                                                 \
    sum += d * hy_vec_load_tail(x + (i), n);                                                                           \
    hy_vec_put(da + (i), d * value, n, a->acc_a)
    int64_t i = row.begin;
    for (; i + HY_VL <= row.end; i += HY_VL) {
        STEP(i, HY_VL);
    }
    if (i < row.end) {
        STEP(i, row.end - i);
    }
#undef STEP
    hy_role_set(a->z_role, a->dz, j, hy_vec_sum(sum) * slope[0] + (a->acc_z ? hy_role_get(a->z_role, a->dz, j) : 0.0f));
}

HY_INLINE void glu_bwd_range(const hy_glu_args *a, const hy_act act, hy_range r) {
    if (a->group == 1) {
#define STEP(i, n) glu_bwd_step(a, act, i, n)
        HY_FOR_VECS(i, r, STEP);
#undef STEP
        return;
    }
    for (int64_t j = r.begin; j < r.end; j++)
        glu_bwd_group(a, act, j);
}

static void glu_fwd_part(const hy_glu_args *a, hy_range r) {
    switch (a->act) {
#define HY_X(act)                                                                                                      \
    case act:                                                                                                          \
        glu_fwd_range(a, act, r);                                                                                      \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
}

static void glu_bwd_part(const hy_glu_args *a, hy_range r) {
    switch (a->act) {
#define HY_X(act)                                                                                                      \
    case act:                                                                                                          \
        glu_bwd_range(a, act, r);                                                                                      \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
}

void HY_ISA_NAME(hy_fast_glu_fwd)(const hy_glu_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    glu_fwd_part(a, hy_thread_range(a->n / a->group, a->group == 1 ? 64 : 1));
}

void HY_ISA_NAME(hy_fast_glu_bwd)(const hy_glu_args *a) {
#pragma omp parallel if (a->n >= HY_PARALLEL_MIN)
    glu_bwd_part(a, hy_thread_range(a->n / a->group, a->group == 1 ? 64 : 1));
}
