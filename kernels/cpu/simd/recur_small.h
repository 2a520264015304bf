/* Dense 16×16 matrices of a chunk. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_SMALL_H
#define HY_KERNELS_CPU_SIMD_RECUR_SMALL_H

#include "kernels/cpu/simd/recur_scan.h"

HY_INLINE hy_mat hy_small_mat(float *p) {
    return (hy_mat){p, HY_CHUNK};
}

/* w = m (I + diag b m)^-1 by forward substitution: w_i = m_i − Σ_{j<i} m_ij b_j w_j. */
static void hy_small_solve(float *w, const float *m, const float *b) {
    memcpy(w, m, 256 * sizeof *w);
    for (int j = 0; j < HY_CHUNK - 1; j++) {
        hy_vec wj[HY_CHUNK / HY_VL];
        for (int l = 0; l < HY_CHUNK / HY_VL; l++)
            wj[l] = hy_vec_load(w + j * 16 + l * HY_VL) * hy_vec_set(-b[j]);
        for (int i = j + 1; i < HY_CHUNK; i++) {
            hy_vec f = hy_vec_set(m[i * 16 + j]);
            for (int l = 0; l < HY_CHUNK / HY_VL; l++) {
                float *wi = w + i * 16 + l * HY_VL;
                hy_vec_store(wi, hy_vec_load(wi) + f * wj[l]);
            }
        }
    }
}

/* out = [i == j] − f_i w_ij h_j, f or h NULL = 1. */
HY_INLINE void hy_small_inverse(float *out, const float *w, const float *f, const float *h) {
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < HY_CHUNK; j++)
            out[i * 16 + j] = (i == j ? 1.0f : 0.0f) - (f ? f[i] : 1.0f) * w[i * 16 + j] * (h ? h[j] : 1.0f);
}

#endif
