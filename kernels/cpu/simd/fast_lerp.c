/* y = x + (z − x) ⊙ m. With a weight per channel, threads share out the channels, so that every sum over tokens is in their order. */
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"

/* Channels at a time: their sums stay in the first cache. */
#define COLUMNS 1024

/* A weight per channel is a parameter, one per element an activation. */
HY_INLINE hy_role weight_role(const hy_lerp_args *a) {
    return a->shared ? HY_ROLE_STAT : HY_ROLE_ACT;
}

HY_INLINE hy_vec between(hy_vec x, hy_vec z, hy_vec m) {
    return x + (z - x) * m;
}

void HY_ISA_NAME(hy_fast_lerp_fwd)(const hy_lerp_args *a) {
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const int64_t row = r * a->cols;
        const hy_elem *x = (const hy_elem *)a->x + row, *z = (const hy_elem *)a->z + row;
        const hy_range all = {0, a->cols};
#define STEP(c, n)                                                                                                     \
    hy_vec_store_tail((hy_elem *)a->y + row + (c),                                                                     \
                      between(hy_vec_load_tail(x + (c), n), hy_vec_load_tail(z + (c), n),                              \
                              hy_role_load(weight_role(a), a->m, (a->shared ? 0 : row) + (c), n)),                     \
                      n)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

/* The gradient of `weight`. */
HY_INLINE hy_vec bwd_step(const hy_lerp_args *a, int64_t at, hy_vec weight, int64_t n) {
    const hy_vec x = hy_vec_load_tail((const hy_elem *)a->x + at, n);
    const hy_vec z = hy_vec_load_tail((const hy_elem *)a->z + at, n);
    const hy_vec dy = hy_vec_load_tail((const hy_elem *)a->dy + at, n);
    hy_vec_put((hy_elem *)a->dx + at, dy - dy * weight, n, a->acc_x);
    hy_vec_put((hy_elem *)a->dz + at, dy * weight, n, a->acc_z);
    return dy * (z - x);
}

static void bwd_shared(const hy_lerp_args *a) {
    float sum[COLUMNS];
    const hy_range mine = hy_thread_range(a->cols, 16);
    for (int64_t begin = mine.begin; begin < mine.end; begin += COLUMNS) {
        const hy_range all = {0, mine.end - begin < COLUMNS ? mine.end - begin : COLUMNS};
        const float *m = (const float *)a->m + begin;
        float *dm = (float *)a->dm + begin;
        memset(sum, 0, sizeof sum);
        for (int64_t r = 0; r < a->rows; r++) {
            const int64_t row = r * a->cols + begin;
#define STEP(c, n) hy_vec_put(sum + (c), bwd_step(a, row + (c), hy_vec_load_tail(m + (c), n), n), n, 1)
            HY_FOR_VECS(c, all, STEP);
#undef STEP
        }
        for (int64_t c = 0; c < all.end; c++)
            dm[c] += sum[c];
    }
}

void HY_ISA_NAME(hy_fast_lerp_bwd)(const hy_lerp_args *a) {
#pragma omp parallel if (a->rows * a->cols >= HY_PARALLEL_MIN)
    {
        if (a->shared) {
            bwd_shared(a);
        } else {
            const hy_range mine = hy_thread_range(a->rows * a->cols, 16);
#define STEP(i, n)                                                                                                     \
    hy_vec_put((hy_elem *)a->dm + (i), bwd_step(a, i, hy_vec_load_tail((const hy_elem *)a->m + (i), n), n), n, a->acc_m)
            HY_FOR_VECS(i, mine, STEP);
#undef STEP
        }
    }
}
