/* 16-bit floating point, to and from float, exactly as IEEE 754: widening is exact, narrowing rounds to nearest even. bfloat16 is
 * the upper half of a float; binary16 has 5 bits of exponent (bias 15) and 10 of mantissa. NaN stays NaN. */
#ifndef HY_BASE_HALF_H
#define HY_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float hy_float_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t hy_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float hy_bf16_to_float(uint16_t h) {
    return hy_float_from_bits((uint32_t)h << 16);
}

static inline uint16_t hy_float_to_bf16(float x) {
    uint32_t bits = hy_float_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float hy_f16_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31)
        return hy_float_from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) {
        float x = (float)mantissa * 0x1p-24f;
        return sign ? -x : x;
    }
    return hy_float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t hy_float_to_f16(float x) {
    uint32_t bits = hy_float_bits(x), magnitude = bits & 0x7fffffffu;
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((bits >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: multiples of 2^-24; adding 0.5 lets the float adder round */
        float rounded = hy_float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (uint16_t)(hy_float_bits(rounded) - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | (uint16_t)((rounded - 0x38000000u) >> 13));
}

#endif
