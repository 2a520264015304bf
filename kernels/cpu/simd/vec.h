/* float vectors of the instruction set a file is being compiled for: HY_VL lanes (16, 8 or 4), GCC/Clang vector
 * extensions, so +, −, · and comparisons are written as for scalars. Products and sums written as a·b + c contract to
 * fused multiply-adds where the processor has them. Everything here is static: one source, one object per instruction
 * set. Loads and stores need no alignment beyond that of the element, which the pointer's type tells: float, or hy_bf16, whose
 * values are float vectors once loaded. */
#ifndef HY_KERNELS_CPU_SIMD_VEC_H
#define HY_KERNELS_CPU_SIMD_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/dtype.h"

#if HY_ISA_avx512 || HY_ISA_avx2
#include <immintrin.h>
#endif

#if HY_ISA_avx512
#define HY_VL 16
#elif HY_ISA_avx2
#define HY_VL 8
#else
#define HY_VL 4
#endif

#define HY_INLINE static inline __attribute__((always_inline, unused))

/* Before a loop of constant length ≤ 16 whose array of vectors must end up in registers. */
#ifdef __clang__
#define HY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HY_UNROLL _Pragma("GCC unroll 16")
#endif

typedef float hy_vec __attribute__((vector_size(4 * HY_VL)));
typedef int32_t hy_ivec __attribute__((vector_size(4 * HY_VL))); /* also a mask, as comparisons give: −1 or 0 */

HY_INLINE hy_vec hy_vec_set(float x) {
#if HY_ISA_avx512
    return _mm512_set1_ps(x);
#elif HY_ISA_avx2
    return _mm256_set1_ps(x);
#else
    return (hy_vec){x, x, x, x};
#endif
}

HY_INLINE hy_ivec hy_ivec_set(int32_t x) {
#if HY_ISA_avx512
    return (hy_ivec)_mm512_set1_epi32(x);
#elif HY_ISA_avx2
    return (hy_ivec)_mm256_set1_epi32(x);
#else
    return (hy_ivec){x, x, x, x};
#endif
}

HY_INLINE hy_vec hy_vec_zero(void) {
    return hy_vec_set(0);
}

/* 0, 1, 2, ... */
HY_INLINE hy_ivec hy_ivec_iota(void) {
    hy_ivec v;
    for (int i = 0; i < HY_VL; i++)
        v[i] = i;
    return v;
}

HY_INLINE hy_vec hy_vec_load_f32(const float *p) {
    hy_vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

HY_INLINE void hy_vec_store_f32(float *p, hy_vec v) {
    memcpy(p, &v, sizeof v);
}

HY_INLINE hy_vec hy_vec_select(hy_ivec mask, hy_vec yes, hy_vec no) {
    return (hy_vec)((mask & (hy_ivec)yes) | (~mask & (hy_ivec)no));
}

/* The first n of HY_VL lanes; the others are 0 and their memory is not touched. n ≥ HY_VL loads all. */
HY_INLINE hy_vec hy_vec_load_tail_f32(const float *p, int64_t n) {
    if (n >= HY_VL)
        return hy_vec_load_f32(p);
#if HY_ISA_avx512
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#elif HY_ISA_avx2
    return _mm256_maskload_ps(p, (__m256i)(hy_ivec_iota() < hy_ivec_set((int32_t)n)));
#else
    hy_vec v = {0};
    for (int i = 0; i < n; i++)
        v[i] = p[i];
    return v;
#endif
}

HY_INLINE void hy_vec_store_tail_f32(float *p, hy_vec v, int64_t n) {
    if (n >= HY_VL) {
        hy_vec_store_f32(p, v);
        return;
    }
#if HY_ISA_avx512
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), v);
#elif HY_ISA_avx2
    _mm256_maskstore_ps(p, (__m256i)(hy_ivec_iota() < hy_ivec_set((int32_t)n)), v);
#else
    for (int i = 0; i < n; i++)
        p[i] = v[i];
#endif
}

#include "kernels/cpu/simd/vec_bf16.h"

/* By the pointer's type. The four functions beside each other, so that a file compiled for float and for bf16 reads the same. */
#define HY_BY_ELEMENT_(p, name)                                                                                        \
    _Generic((p) + 0, float *                                                                                          \
             : name##_f32, const float *                                                                               \
             : name##_f32, hy_bf16 *                                                                                   \
             : name##_bf16, const hy_bf16 *                                                                            \
             : name##_bf16)
#define hy_vec_load(p)             HY_BY_ELEMENT_(p, hy_vec_load)(p)
#define hy_vec_load_tail(p, n)     HY_BY_ELEMENT_(p, hy_vec_load_tail)(p, n)
#define hy_vec_store(p, v)         HY_BY_ELEMENT_(p, hy_vec_store)(p, v)
#define hy_vec_store_tail(p, v, n) HY_BY_ELEMENT_(p, hy_vec_store_tail)(p, v, n)

/* One element: hy_elem_get(&x[i]), hy_elem_put(&x[i], value). */
HY_INLINE float hy_elem_get_f32(const float *p) {
    return *p;
}
HY_INLINE float hy_elem_get_bf16(const hy_bf16 *p) {
    return hy_bf16_value(*p);
}
HY_INLINE void hy_elem_put_f32(float *p, float x) {
    *p = x;
}
HY_INLINE void hy_elem_put_bf16(hy_bf16 *p, float x) {
    *p = hy_bf16_of(x);
}
#define hy_elem_get(p)    HY_BY_ELEMENT_(p, hy_elem_get)(p)
#define hy_elem_put(p, x) HY_BY_ELEMENT_(p, hy_elem_put)(p, x)

/* If a lane of b is NaN, so is the result's; NaN in a is lost. */
HY_INLINE hy_vec hy_vec_max(hy_vec a, hy_vec b) {
#if HY_ISA_avx512
    return _mm512_max_ps(a, b);
#elif HY_ISA_avx2
    return _mm256_max_ps(a, b);
#else
    return hy_vec_select(a > b, a, b);
#endif
}

HY_INLINE hy_vec hy_vec_min(hy_vec a, hy_vec b) {
#if HY_ISA_avx512
    return _mm512_min_ps(a, b);
#elif HY_ISA_avx2
    return _mm256_min_ps(a, b);
#else
    return hy_vec_select(a < b, a, b);
#endif
}

HY_INLINE hy_vec hy_vec_abs(hy_vec a) {
    return (hy_vec)((hy_ivec)a & hy_ivec_set(0x7fffffff));
}

/* Sum and maximum over the lanes; the order of the sum depends on HY_VL only. */
HY_INLINE float hy_vec_sum(hy_vec v) {
#if HY_ISA_avx512
    return _mm512_reduce_add_ps(v);
#elif HY_ISA_avx2
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
#else
    return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

HY_INLINE float hy_vec_max_lane(hy_vec v) {
    float m = v[0];
#if HY_ISA_avx512
    m = _mm512_reduce_max_ps(v);
#else
    for (int i = 1; i < HY_VL; i++)
        m = v[i] > m ? v[i] : m;
#endif
    return m;
}

/* e^r for |r| ≤ ln 2 / 2: Taylor series to r^7, relative error 3e-9 at the edge. */
HY_INLINE hy_vec hy_vec_exp_reduced(hy_vec r) {
    hy_vec p = hy_vec_set(1.0f / 5040) * r + hy_vec_set(1.0f / 720);
    p = p * r + hy_vec_set(1.0f / 120);
    p = p * r + hy_vec_set(1.0f / 24);
    p = p * r + hy_vec_set(1.0f / 6);
    p = p * r + hy_vec_set(0.5f);
    p = p * r + hy_vec_set(1.0f);
    return p * r + hy_vec_set(1.0f);
}

/* e^x to 1.2 ulp (without fused multiply-add; else 1); −inf gives 0, above 88.73 inf, NaN stays NaN. x = n ln 2 + r, ln
 * 2 in two parts; 2^n in two factors, since neither 2^128 nor 2^-149 fits one. */
HY_INLINE hy_vec hy_vec_exp(hy_vec x) {
    x = hy_vec_min(hy_vec_set(89.0f), hy_vec_max(hy_vec_set(-105.0f), x));
    const hy_vec round = hy_vec_set(12582912.0f); /* 1.5·2^23: adding it rounds to an integer, kept in the low bits */
    hy_vec biased = x * hy_vec_set(1.44269504f) + round;
    hy_vec n = biased - round;
    hy_vec r = x - n * hy_vec_set(0.693145752f);
    r = r - n * hy_vec_set(1.42860677e-6f);
    hy_vec p = hy_vec_exp_reduced(r);
#if HY_ISA_avx512
    return _mm512_scalef_ps(p, n);
#else
    hy_ivec e = (hy_ivec)biased - (hy_ivec)round, half = e >> 1;
    hy_vec low = (hy_vec)((half + 127) << 23), high = (hy_vec)((e - half + 127) << 23);
    return p * low * high;
#endif
}

#endif
