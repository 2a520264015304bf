/* Transcendental functions of float vectors, beside hy_vec_exp in vec.h. Errors are of the value, in units in the last
 * place (ulp), measured over the stated range. */
#ifndef HY_KERNELS_CPU_SIMD_VEC_MATH_H
#define HY_KERNELS_CPU_SIMD_VEC_MATH_H

#include "kernels/cpu/simd/vec.h"

/* 2^x to 2 ulp for x ≤ 127; 0 below -150. Results under 2^-126 may be flushed to 0. Polynomial of degree 5 on
 * [-1/2, 1/2]: smallest relative error (1e-7) with the constant term 1. */
HY_INLINE hy_vec hy_vec_exp2(hy_vec x) {
#if HY_ISA_avx512
    hy_vec n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    x = hy_vec_max(x, hy_vec_set(-127.0f));
    const hy_vec round = hy_vec_set(12582912.0f); /* 1.5·2^23 */
    hy_vec biased = x + round;
    hy_vec n = biased - round;
#endif
    hy_vec r = x - n;
    hy_vec p = hy_vec_set(0.00132647273f) * r + hy_vec_set(0.00967151299f);
    p = p * r + hy_vec_set(0.0555073358f);
    p = p * r + hy_vec_set(0.240222424f);
    p = p * r + hy_vec_set(0.693147004f);
    p = p * r + hy_vec_set(1.0f);
#if HY_ISA_avx512
    return _mm512_scalef_ps(p, n);
#else
    return p * (hy_vec)(((hy_ivec)biased - (hy_ivec)round + 127) << 23);
#endif
}

#endif
