/* Activations of the reference table, and their slopes: one formula each, valid for every finite argument: nothing overflows on the way
 * to a finite result. */
#ifndef HY_KERNELS_CPU_REF_ACTIVATION_H
#define HY_KERNELS_CPU_REF_ACTIVATION_H

#include "kernels/cpu/ref.h"

static inline double hy_ref_act_value(hy_act act, double x) {
    switch (act) {
    case HY_ACT_IDENTITY:
        return x;
    case HY_ACT_SIGMOID:
        return hy_ref_sigmoid(x);
    case HY_ACT_SILU:
        return x * hy_ref_sigmoid(x);
    case HY_ACT_RELU:
        return x > 0 ? x : 0;
    case HY_ACT_RELU2:
        return x > 0 ? x * x : 0;
    case HY_ACT_ELU1:
        return x > 0 ? x + 1 : exp(x);
    case HY_ACT_TANH:
        return tanh(x);
    case HY_ACT_SOFTPLUS:
        return hy_ref_softplus(x);
    case HY_ACT_LOGSIGMOID:
        return -hy_ref_softplus(-x);
    case HY_ACT_EXP:
        return exp(x);
    case HY_ACT_NEG_EXP:
        return -exp(x);
    case HY_ACT_SQUARE:
        return x * x;
    }
    return 0;
}

static inline double hy_ref_act_slope(hy_act act, double x) {
    const double s = hy_ref_sigmoid(x);
    switch (act) {
    case HY_ACT_IDENTITY:
        return 1;
    case HY_ACT_SIGMOID:
        return s * hy_ref_sigmoid(-x);
    case HY_ACT_SILU:
        return s * (1 + x * hy_ref_sigmoid(-x));
    case HY_ACT_RELU:
        return x > 0 ? 1 : 0;
    case HY_ACT_RELU2:
        return x > 0 ? 2 * x : 0;
    case HY_ACT_ELU1:
        return x > 0 ? 1 : exp(x);
    case HY_ACT_TANH:
        return 1 / (cosh(x) * cosh(x));
    case HY_ACT_SOFTPLUS:
        return s;
    case HY_ACT_LOGSIGMOID:
        return hy_ref_sigmoid(-x);
    case HY_ACT_EXP:
        return exp(x);
    case HY_ACT_NEG_EXP:
        return -exp(x);
    case HY_ACT_SQUARE:
        return 2 * x;
    }
    return 0;
}

#endif
