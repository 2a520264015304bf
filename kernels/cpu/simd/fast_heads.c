/* Operations that place what heads share: repeated heads, keys and values of a latent. Sums over heads run in their order. */
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"

void HY_ISA_NAME(hy_fast_repeat_fwd)(const hy_repeat_args *a) {
    const hy_range all = {0, a->cols};
#pragma omp parallel for schedule(static) if (a->rows * a->repeat * a->cols >= HY_PARALLEL_MIN)
    for (int64_t row = 0; row < a->rows * a->repeat; row++) {
        const int64_t from = row / a->repeat * a->cols, to = row * a->cols;
#define STEP(c, n) hy_role_put(a->to, a->y, to + (c), hy_role_load(a->from, a->x, from + (c), n), n, 0)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

void HY_ISA_NAME(hy_fast_repeat_bwd)(const hy_repeat_args *a) {
    const hy_range all = {0, a->cols};
#pragma omp parallel for schedule(static) if (a->rows * a->repeat * a->cols >= HY_PARALLEL_MIN)
    for (int64_t r = 0; r < a->rows; r++) {
        const int64_t from = r * a->repeat * a->cols, to = r * a->cols;
#define STEP(c, n)                                                                                                     \
    do {                                                                                                               \
        hy_vec sum = hy_role_load(a->to, a->dy, from + (c), n);                                                        \
        if (a->acc)                                                                                                    \
            sum = hy_role_load(a->from, a->dx, to + (c), n) + sum;                                                     \
        for (int64_t i = 1; i < a->repeat; i++)                                                                        \
            sum += hy_role_load(a->to, a->dy, from + i * a->cols + (c), n);                                            \
        hy_role_put(a->from, a->dx, to + (c), sum, n, 0);                                                              \
    } while (0)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

void HY_ISA_NAME(hy_fast_latent_heads_fwd)(const hy_latent_heads_args *a) {
    const int64_t D = a->nope + a->rope, wide = a->nope + a->DV;
    const size_t element = sizeof(hy_elem);
#pragma omp parallel for schedule(static) if (a->T * a->H * (D + a->DV) >= HY_PARALLEL_MIN)
    for (int64_t row = 0; row < a->T * a->H; row++) {
        const hy_elem *product = (const hy_elem *)a->product + row * wide;
        hy_elem *k = (hy_elem *)a->k + row * D;
        memcpy(k, product, (size_t)a->nope * element);
        memcpy(k + a->nope, (const hy_elem *)a->shared + row / a->H * a->rope, (size_t)a->rope * element);
        memcpy((hy_elem *)a->v + row * a->DV, product + a->nope, (size_t)a->DV * element);
    }
}

/* to = from: n statistics become activations. */
HY_INLINE void narrow(const float *from, hy_elem *to, int64_t n) {
    const hy_range all = {0, n};
#define STEP(c, count) hy_vec_store_tail(to + (c), hy_vec_load_tail(from + (c), count), count)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

void HY_ISA_NAME(hy_fast_latent_heads_bwd)(const hy_latent_heads_args *a) {
    const int64_t D = a->nope + a->rope, wide = a->nope + a->DV;
    const hy_range shared = {0, a->rope};
#pragma omp parallel for schedule(static) if (a->T * a->H * (D + a->DV) >= HY_PARALLEL_MIN)
    for (int64_t t = 0; t < a->T; t++) {
        float *dshared = (float *)a->dshared + t * a->rope;
        for (int64_t row = t * a->H; row < (t + 1) * a->H; row++) {
            const float *dk = (const float *)a->dk + row * D;
            hy_elem *dproduct = (hy_elem *)a->dproduct + row * wide;
            narrow(dk, dproduct, a->nope);
            narrow((const float *)a->dv + row * a->DV, dproduct + a->nope, a->DV);
#define STEP(c, n) hy_vec_put(dshared + (c), hy_vec_load_tail(dk + a->nope + (c), n), n, 1)
            HY_FOR_VECS(c, shared, STEP);
#undef STEP
        }
    }
}
