/* y_i = x + (z − x) ⊙ act(m_i + w_i): x and z are read once for all parts. Backward, threads share out the channels, so that every sum
 * over tokens is in their order. */
#include <string.h>

#include "kernels/cpu/simd/activation.h"
#include "kernels/cpu/simd/elementwise.h"

/* Channels at a time: the sums of all parts stay in the first cache. */
#define COLUMNS 512

/* m_i + w_i of n channels from c on, of the row that starts at `row`. */
HY_INLINE hy_vec lerp_sum(const hy_lerp_args *a, int part, int64_t row, int64_t c, int64_t n) {
    const hy_vec w = hy_vec_load_tail((const float *)a->w[part] + c, n);
    return a->m[part] != NULL ? w + hy_vec_load_tail((const hy_elem *)a->m[part] + row + c, n) : w;
}

HY_INLINE void fwd_step(const hy_lerp_args *a, int64_t row, int64_t c, int64_t n) {
    const hy_vec x = hy_vec_load_tail((const hy_elem *)a->x + row + c, n);
    const hy_vec z = hy_vec_load_tail((const hy_elem *)a->z + row + c, n);
    for (int part = 0; part < a->parts; part++) {
        const hy_vec sum = lerp_sum(a, part, row, c, n);
        const hy_vec s = a->act == HY_ACT_SIGMOID ? hy_act_value(HY_ACT_SIGMOID, sum) : sum;
        hy_vec_store_tail((hy_elem *)a->y[part] + row + c, x + (z - x) * s, n);
    }
}

void HY_ISA_NAME(hy_fast_lerp_fwd)(const hy_lerp_args *a) {
#pragma omp parallel for schedule(static) if (a->rows * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const hy_range all = {0, a->cols};
#define STEP(c, n) fwd_step(a, r * a->cols, c, n)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

/* All gradients of n channels of a row; what belongs to those of w_i is added to sums[i], which begins at channel `begin`. */
HY_INLINE void bwd_step(const hy_lerp_args *a, float (*sums)[COLUMNS], int64_t begin, int64_t row, int64_t c,
                        int64_t n) {
    const int64_t at = row + begin + c;
    const hy_vec apart =
        hy_vec_load_tail((const hy_elem *)a->z + at, n) - hy_vec_load_tail((const hy_elem *)a->x + at, n);
    hy_vec dx = hy_vec_zero(), dz = hy_vec_zero();
    for (int part = 0; part < a->parts; part++) {
        const hy_vec dy = hy_vec_load_tail((const hy_elem *)a->dy[part] + at, n);
        const hy_vec sum = lerp_sum(a, part, row, begin + c, n);
        hy_vec s = sum, ds = dy * apart;
        if (a->act == HY_ACT_SIGMOID)
            ds *= hy_act_slope(HY_ACT_SIGMOID, sum, &s);
        dx += dy - dy * s;
        dz += dy * s;
        if (a->m[part] != NULL)
            hy_vec_store_tail((hy_elem *)a->dm[part] + at, ds, n);
        hy_vec_put(sums[part] + c, ds, n, 1);
    }
    hy_vec_put((hy_elem *)a->dx + at, dx, n, a->acc_x);
    hy_vec_put((hy_elem *)a->dz + at, dz, n, a->acc_z);
}

static void bwd_columns(const hy_lerp_args *a) {
    float sums[HY_LERP_MAX][COLUMNS];
    const hy_range mine = hy_thread_range(a->cols, 16);
    for (int64_t begin = mine.begin; begin < mine.end; begin += COLUMNS) {
        const hy_range all = {0, mine.end - begin < COLUMNS ? mine.end - begin : COLUMNS};
        memset(sums, 0, sizeof sums);
        for (int64_t r = 0; r < a->rows; r++) {
#define STEP(c, n) bwd_step(a, sums, begin, r * a->cols, c, n)
            HY_FOR_VECS(c, all, STEP);
#undef STEP
        }
        for (int part = 0; part < a->parts; part++)
            for (int64_t c = 0; c < all.end; c++)
                ((float *)a->dw[part])[begin + c] += sums[part][c];
    }
}

void HY_ISA_NAME(hy_fast_lerp_bwd)(const hy_lerp_args *a) {
#pragma omp parallel if (a->rows * a->cols >= HY_PARALLEL_MIN)
    bwd_columns(a);
}
