/* Bonus of rwkv6 and rwkv7: s = Σ_i r_i u_i k_i, o (+)= s v. One pass over the rows of a head, forward and backward; du
 * is summed along the tokens of its head by one thread, so that the bits do not depend on how many there are. */
#include "kernels/cpu/simd/elementwise.h"

HY_INLINE float score(const hy_elem *r, const float *u, const hy_elem *k, int64_t n) {
    hy_vec sum = hy_vec_zero();
    for (int64_t i = 0; i < n; i += HY_VL)
        sum += hy_vec_load_tail(r + i, n - i) * hy_vec_load_tail(u + i, n - i) * hy_vec_load_tail(k + i, n - i);
    return hy_vec_sum(sum);
}

/* y = f·x (+ y) */
HY_INLINE void scaled(hy_elem *y, float f, const hy_elem *x, int64_t n, int acc) {
    for (int64_t j = 0; j < n; j += HY_VL)
        hy_vec_put(y + j, hy_vec_set(f) * hy_vec_load_tail(x + j, n - j), n - j, acc);
}

void HY_ISA_NAME(hy_fast_bonus_fwd)(const hy_bonus_args *a) {
#pragma omp parallel for if (a->T * a->H * (a->K + a->V) > HY_PARALLEL_MIN)
    for (int64_t row = 0; row < a->T * a->H; row++) {
        const int64_t at = row * a->K;
        const float s = score((const hy_elem *)a->r + at, (const float *)a->u + row % a->H * a->K,
                              (const hy_elem *)a->k + at, a->K);
        scaled((hy_elem *)a->o + row * a->V, s, (const hy_elem *)a->v + row * a->V, a->V, a->acc_o);
    }
}

HY_INLINE float product(const hy_elem *x, const hy_elem *y, int64_t n) {
    hy_vec sum = hy_vec_zero();
    for (int64_t j = 0; j < n; j += HY_VL)
        sum += hy_vec_load_tail(x + j, n - j) * hy_vec_load_tail(y + j, n - j);
    return hy_vec_sum(sum);
}

static void bwd_row(const hy_bonus_args *a, int64_t row) {
    const int64_t K = a->K, h = row % a->H;
    const hy_elem *r = (const hy_elem *)a->r + row * K, *k = (const hy_elem *)a->k + row * K,
                  *d_o = (const hy_elem *)a->d_o + row * a->V;
    const float *u = (const float *)a->u + h * K, ds = product(d_o, (const hy_elem *)a->v + row * a->V, a->V);
    scaled((hy_elem *)a->dv + row * a->V, score(r, u, k, K), d_o, a->V, a->acc_v);
    for (int64_t i = 0; i < K; i += HY_VL) {
        const int64_t n = K - i;
        const hy_vec x = hy_vec_load_tail(r + i, n), y = hy_vec_load_tail(k + i, n), f = hy_vec_set(ds);
        const hy_vec w = f * hy_vec_load_tail(u + i, n);
        float *du = (float *)a->du + h * K + i;
        hy_vec_put((hy_elem *)a->dr + row * K + i, w * y, n, a->acc_r);
        hy_vec_put((hy_elem *)a->dk + row * K + i, w * x, n, a->acc_k);
        hy_vec_store_tail(du, hy_vec_load_tail(du, n) + f * x * y, n);
    }
}

void HY_ISA_NAME(hy_fast_bonus_bwd)(const hy_bonus_args *a) {
#pragma omp parallel for if (a->T * a->H * (a->K + a->V) > HY_PARALLEL_MIN)
    for (int64_t h = 0; h < a->H; h++)
        for (int64_t t = 0; t < a->T; t++)
            bwd_row(a, t * a->H + h);
}
