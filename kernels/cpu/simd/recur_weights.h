/* The 16×16 matrices of a chunk: P, M and the inverse of I + M diag b (recur_chunk.h), by forward substitution, which
 * is stable however the keys correlate. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_WEIGHTS_H
#define HY_KERNELS_CPU_SIMD_RECUR_WEIGHTS_H

#include "kernels/cpu/simd/recur_chunk.h"
#include "kernels/cpu/simd/recur_small.h"

/* 16×16 matrices of a chunk, each dense. */
typedef struct hy_small {
    float *gram; /* [32,16] */
    float *p;    /* P without beta */
    float *m;    /* M, zero on and above the diagonal */
    float *w;    /* (I + M diag b)^-1 = I − w diag b,  (I + diag b M)^-1 = I − diag b w */
    float *t;    /* an inverse, or P diag b */
} hy_small;

HY_INLINE void hy_small_layout(hy_small *x, hy_scratch *m) {
    x->gram = hy_scratch_take(m, 512);
    x->p = hy_scratch_take(m, 256);
    x->m = hy_scratch_take(m, 256);
    x->w = hy_scratch_take(m, 256);
    x->t = hy_scratch_take(m, 256);
}

/* out_ij = f·gram_ij E_ij for j < i, and j = i if `diagonal`; selected, since above it gram may have overflowed. */
HY_INLINE void hy_small_mask(float *out, const float *gram, const float *E, float f, int diagonal) {
    for (int32_t i = 0; i < HY_CHUNK; i++)
        for (int32_t j = 0; j < HY_CHUNK; j += HY_VL) {
            hy_vec x = hy_vec_set(f) * hy_vec_load(gram + i * 16 + j) * hy_vec_load(E + i * 16 + j);
            hy_ivec below = hy_ivec_iota() + hy_ivec_set(j) < hy_ivec_set(i + diagonal);
            hy_vec_store(out + i * 16 + j, hy_vec_select(below, x, hy_vec_zero()));
        }
}

/* P (if with_q) and, for the delta rule if with_w, M and w. */
static void hy_chunk_weights(const hy_chunk *c, const hy_scan *s, hy_small *x, int with_q, int with_w) {
    int first = with_q ? 0 : 16, rows = (with_w ? 32 : 16) - first;
    if (rows <= 0)
        return;
    hy_mul_ab((hy_mat){x->gram + first * 16, 16}, hy_mat_at(c->qk, first, 0), c->kt, (hy_shape){rows, 16, s->Kp}, NULL);
    if (with_q)
        hy_small_mask(x->p, x->gram, c->E, s->scale, !s->exclusive);
    if (with_w) {
        hy_small_mask(x->m, x->gram + 256, c->E, 1, 0);
        hy_small_solve(x->w, x->m, c->b);
    }
}

#endif
