/* act(x) and act'(x) of hy_act for vectors; `act` is a constant where these are called. */
#ifndef HY_KERNELS_CPU_SIMD_ACTIVATION_H
#define HY_KERNELS_CPU_SIMD_ACTIVATION_H

#include "kernels/cpu/simd/vec_math.h"
#include "kernels/kernels.h"

#define HY_ACTS(X)                                                                                                     \
    X(HY_ACT_IDENTITY)                                                                                                 \
    X(HY_ACT_SIGMOID)                                                                                                  \
    X(HY_ACT_SILU)                                                                                                     \
    X(HY_ACT_RELU)                                                                                                     \
    X(HY_ACT_RELU2)                                                                                                    \
    X(HY_ACT_ELU1)                                                                                                     \
    X(HY_ACT_TANH)                                                                                                     \
    X(HY_ACT_SOFTPLUS)                                                                                                 \
    X(HY_ACT_LOGSIGMOID)                                                                                               \
    X(HY_ACT_EXP)                                                                                                      \
    X(HY_ACT_NEG_EXP)                                                                                                  \
    X(HY_ACT_SQUARE)

HY_INLINE hy_vec hy_act_value(const hy_act act, hy_vec x) {
    const hy_vec zero = hy_vec_zero(), one = hy_vec_set(1.0f);
    switch (act) {
    case HY_ACT_IDENTITY:
        return x;
    case HY_ACT_SIGMOID:
        return hy_vec_sigmoid(x);
    case HY_ACT_SILU:
        return x * hy_vec_sigmoid(x);
    case HY_ACT_RELU:
        return hy_vec_max(zero, x);
    case HY_ACT_RELU2:
        return hy_vec_max(zero, x) * hy_vec_max(zero, x);
    case HY_ACT_ELU1:
        return hy_vec_select((hy_ivec)(x > zero), x + one, hy_vec_exp(x));
    case HY_ACT_TANH:
        return hy_vec_tanh(x);
    case HY_ACT_SOFTPLUS:
        return hy_vec_softplus(x);
    case HY_ACT_LOGSIGMOID:
        return -hy_vec_softplus(-x);
    case HY_ACT_EXP:
        return hy_vec_exp(x);
    case HY_ACT_NEG_EXP:
        return -hy_vec_exp(x);
    case HY_ACT_SQUARE:
        return x * x;
    }
    return x;
}

/* act'(x), and act(x) in *value. */
HY_INLINE hy_vec hy_act_slope(const hy_act act, hy_vec x, hy_vec *value) {
    const hy_vec zero = hy_vec_zero(), one = hy_vec_set(1.0f), two = hy_vec_set(2.0f);
    const hy_ivec positive = (hy_ivec)(x > zero);
    hy_vec y = hy_act_value(act, x), s, e;
    *value = y;
    switch (act) {
    case HY_ACT_IDENTITY:
        return one;
    case HY_ACT_SIGMOID: /* y·(1 − y); 1 − y = e^(−x)·y where it would lose its digits */
        return y * hy_vec_select(positive, hy_vec_exp(-x) * y, one - y);
    case HY_ACT_SILU:
        s = hy_vec_sigmoid(x);
        return s * (one + x * (one - s));
    case HY_ACT_RELU:
        return hy_vec_select(positive, one, zero);
    case HY_ACT_RELU2:
        return two * hy_vec_max(zero, x);
    case HY_ACT_ELU1:
        return hy_vec_select(positive, one, y);
    case HY_ACT_TANH:
        e = hy_vec_exp(hy_vec_set(-2.0f) * hy_vec_abs(x));
        return hy_vec_set(4.0f) * e / ((one + e) * (one + e));
    case HY_ACT_SOFTPLUS:
        return hy_vec_sigmoid(x);
    case HY_ACT_LOGSIGMOID:
        return hy_vec_sigmoid(-x);
    case HY_ACT_EXP:
    case HY_ACT_NEG_EXP:
        return y;
    case HY_ACT_SQUARE:
        return two * x;
    }
    return one;
}

#endif
