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

/* 1/(1 + e^(−x)) to 3 ulp; 0 below -88.7. */
HY_INLINE hy_vec hy_vec_sigmoid(hy_vec x) {
    return hy_vec_set(1.0f) / (hy_vec_set(1.0f) + hy_vec_exp(-x));
}

/* log(1 + u) for 0 ≤ u ≤ 1, to 2 ulp: 2·atanh(s), s = u/(2 + u) ≤ 1/3, by its series to s^15. */
HY_INLINE hy_vec hy_vec_log1p_unit(hy_vec u) {
    hy_vec s = u / (hy_vec_set(2.0f) + u), s2 = s * s;
    hy_vec p = hy_vec_set(2.0f / 15) * s2 + hy_vec_set(2.0f / 13);
    p = p * s2 + hy_vec_set(2.0f / 11);
    p = p * s2 + hy_vec_set(2.0f / 9);
    p = p * s2 + hy_vec_set(2.0f / 7);
    p = p * s2 + hy_vec_set(2.0f / 5);
    p = p * s2 + hy_vec_set(2.0f / 3);
    return (p * s2 + hy_vec_set(2.0f)) * s;
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^(−|x|)) */
HY_INLINE hy_vec hy_vec_softplus(hy_vec x) {
    return hy_vec_max(hy_vec_zero(), x) + hy_vec_log1p_unit(hy_vec_exp(-hy_vec_abs(x)));
}

/* tanh to 4 ulp. |x| < 0.5: odd Taylor series to x^15; beyond: (1 − e)/(1 + e), e = e^(−2|x|). */
HY_INLINE hy_vec hy_vec_tanh(hy_vec x) {
    hy_vec a = hy_vec_abs(x), e = hy_vec_exp(hy_vec_set(-2.0f) * a), x2 = x * x;
    hy_vec far = (hy_vec_set(1.0f) - e) / (hy_vec_set(1.0f) + e);
    far = (hy_vec)((hy_ivec)far | ((hy_ivec)x & hy_ivec_set(INT32_MIN)));
    hy_vec p = hy_vec_set(-929569.0f / 638512875.0f) * x2 + hy_vec_set(21844.0f / 6081075.0f);
    p = p * x2 + hy_vec_set(-1382.0f / 155925.0f);
    p = p * x2 + hy_vec_set(62.0f / 2835.0f);
    p = p * x2 + hy_vec_set(-17.0f / 315.0f);
    p = p * x2 + hy_vec_set(2.0f / 15.0f);
    p = p * x2 + hy_vec_set(-1.0f / 3.0f);
    return hy_vec_select((hy_ivec)(a < hy_vec_set(0.5f)), p * x2 * x + x, far);
}

#endif
