/* y = x + (z − x) ⊙ m. With a weight per channel, threads share out the channels, so that every sum over tokens is in their order. */
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"

/* Channels at a time: their sums stay in the first cache. */
#define COLUMNS 1024

void HY_ISA_NAME(hy_fast_lerp_fwd)(const hy_lerp_args *a) {
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const int64_t row = r * a->cols;
        const float *x = (const float *)a->x + row, *z = (const float *)a->z + row;
        const float *m = (const float *)a->m + (a->shared ? 0 : row);
        float *y = (float *)a->y + row;
#pragma omp simd
        for (int64_t c = 0; c < a->cols; c++)
            y[c] = x[c] + (z[c] - x[c]) * m[c];
    }
}

HY_INLINE void bwd_step(const hy_lerp_args *a, int64_t at, const float *m, float *dm, int64_t n, int acc_m) {
    const hy_vec x = hy_vec_load_tail((const float *)a->x + at, n), z = hy_vec_load_tail((const float *)a->z + at, n);
    const hy_vec weight = hy_vec_load_tail(m, n), dy = hy_vec_load_tail((const float *)a->dy + at, n);
    hy_vec_put((float *)a->dx + at, dy - dy * weight, n, a->acc_x);
    hy_vec_put((float *)a->dz + at, dy * weight, n, a->acc_z);
    hy_vec_put(dm, dy * (z - x), n, acc_m);
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
#define STEP(c, n) bwd_step(a, row + (c), m + (c), sum + (c), n, 1)
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
#define STEP(i, n) bwd_step(a, i, (const float *)a->m + (i), (float *)a->dm + (i), n, a->acc_m)
            HY_FOR_VECS(i, mine, STEP);
#undef STEP
        }
    }
}
