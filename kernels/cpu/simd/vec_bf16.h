/* bf16 in memory, float in registers. Widening is exact. Narrowing rounds to nearest even and keeps NaN, as base/half.h does, with
 * one exception: AVX512-BF16's instruction (set amx) takes what is smaller than 2^-126 for 0, which no sum of a training run tells
 * from its neighbours. Included by vec.h, whose vectors these are. */
#ifndef HY_KERNELS_CPU_SIMD_VEC_BF16_H
#define HY_KERNELS_CPU_SIMD_VEC_BF16_H

typedef uint32_t hy_uvec __attribute__((vector_size(4 * HY_VL)));
typedef uint16_t hy_half_vec __attribute__((vector_size(2 * HY_VL))); /* HY_VL elements of bf16 */

HY_INLINE hy_vec hy_vec_widen(hy_half_vec h) {
#if HY_ISA_avx512
    return (hy_vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#elif HY_ISA_avx2
    return (hy_vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)h), 16);
#else
    return (hy_vec)(__builtin_convertvector(h, hy_uvec) << 16);
#endif
}

HY_INLINE hy_half_vec hy_vec_narrow(hy_vec v) {
#if HY_ISA_amx
    return (hy_half_vec)_mm512_cvtneps_pbh(v);
#else
    const hy_uvec bits = (hy_uvec)v, upper = bits >> 16, not_a_number = (hy_uvec)(v != v);
    const hy_uvec rounded = (bits + 0x7fffu + (upper & 1u)) >> 16;
    const hy_uvec half = (not_a_number & (upper | 0x40u)) | (~not_a_number & rounded);
#if HY_ISA_avx512
    return (hy_half_vec)_mm512_cvtepi32_epi16((__m512i)half);
#elif HY_ISA_avx2
    const __m256i packed = _mm256_packus_epi32((__m256i)half, (__m256i)half);
    return (hy_half_vec)_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 8)); /* quarters 0 and 2 */
#else
    return __builtin_convertvector(half, hy_half_vec);
#endif
#endif
}

HY_INLINE hy_vec hy_vec_load_bf16(const hy_bf16 *p) {
    hy_half_vec h;
    memcpy(&h, p, sizeof h);
    return hy_vec_widen(h);
}

HY_INLINE void hy_vec_store_bf16(hy_bf16 *p, hy_vec v) {
    const hy_half_vec h = hy_vec_narrow(v);
    memcpy(p, &h, sizeof h);
}

/* The first n of HY_VL lanes; the others are 0 and their memory is not touched. n ≥ HY_VL loads all. */
HY_INLINE hy_vec hy_vec_load_tail_bf16(const hy_bf16 *p, int64_t n) {
    if (n >= HY_VL)
        return hy_vec_load_bf16(p);
#if HY_ISA_avx512
    return hy_vec_widen((hy_half_vec)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p));
#else
    hy_half_vec h = {0};
    for (int i = 0; i < n; i++)
        h[i] = p[i].bits;
    return hy_vec_widen(h);
#endif
}

HY_INLINE void hy_vec_store_tail_bf16(hy_bf16 *p, hy_vec v, int64_t n) {
    if (n >= HY_VL) {
        hy_vec_store_bf16(p, v);
        return;
    }
    const hy_half_vec h = hy_vec_narrow(v);
#if HY_ISA_avx512
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), (__m256i)h);
#else
    for (int i = 0; i < n; i++)
        p[i].bits = h[i];
#endif
}

#endif
