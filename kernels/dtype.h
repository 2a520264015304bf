/* Element types, and which a run gives to what. */
#ifndef HY_KERNELS_DTYPE_H
#define HY_KERNELS_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/half.h"

/* The first two in the order of hy_type in comm/. */
typedef enum hy_dtype { HY_F32, HY_F64, HY_BF16 } hy_dtype;

static inline size_t hy_dtype_size(hy_dtype dtype) {
    return dtype == HY_F64 ? 8 : dtype == HY_F32 ? 4 : 2;
}

/* What an array is to the computation; its precision gives it an element type. */
typedef enum hy_role {
    HY_ROLE_ACT,    /* activations and their gradients */
    HY_ROLE_WEIGHT, /* matrices that multiply activations, as the forward pass reads them */
    HY_ROLE_STAT, /* vectors of parameters; decays, betas, log-sum-exps, states and their maps, sums across exchanges, moments */
    HY_ROLE_GRAD /* gradients of parameters */
} hy_role;

/* A run's precision is named by the element type of its activations: with bf16 matrices are bf16 too, all else float32.
 * (Micikevicius et al. 2018, mixed precision training; Kalamkar et al. 2019, bfloat16) */
static inline hy_dtype hy_dtype_of(hy_dtype precision, hy_role role) {
    return precision == HY_BF16 && role >= HY_ROLE_STAT ? HY_F32 : precision;
}

static inline size_t hy_role_size(hy_dtype precision, hy_role role) {
    return hy_dtype_size(hy_dtype_of(precision, role));
}

/* bfloat16 (base/half.h), as a type of its own: no arithmetic by accident. */
typedef struct hy_bf16 {
    uint16_t bits;
} hy_bf16;

static inline float hy_bf16_value(hy_bf16 x) {
    return hy_bf16_to_float(x.bits);
}

static inline hy_bf16 hy_bf16_of(float x) {
    return (hy_bf16){hy_float_to_bf16(x)};
}

#endif
