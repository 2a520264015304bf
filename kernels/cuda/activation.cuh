/* Activations and their slopes, for every finite argument: nothing overflows on the way to a finite result. */
#ifndef HY_KERNELS_CUDA_ACTIVATION_CUH
#define HY_KERNELS_CUDA_ACTIVATION_CUH

#include "kernels/cuda/array.cuh"

namespace HY_GPU {

HY_DEVICE float sigmoid(float x) {
    const float e = expf(-fabsf(x));
    return (x >= 0 ? 1.0f : e) / (1.0f + e);
}

HY_DEVICE float softplus(float x) {
    return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

HY_DEVICE float act_value(hy_act act, float x) {
    switch (act) {
    case HY_ACT_IDENTITY:
        return x;
    case HY_ACT_SIGMOID:
        return sigmoid(x);
    case HY_ACT_SILU:
        return x * sigmoid(x);
    case HY_ACT_RELU:
        return x > 0 ? x : 0.0f;
    case HY_ACT_RELU2:
        return x > 0 ? x * x : 0.0f;
    case HY_ACT_ELU1:
        return x > 0 ? x + 1 : expf(x);
    case HY_ACT_TANH:
        return tanhf(x);
    case HY_ACT_SOFTPLUS:
        return softplus(x);
    case HY_ACT_LOGSIGMOID:
        return -softplus(-x);
    case HY_ACT_EXP:
        return expf(x);
    case HY_ACT_NEG_EXP:
        return -expf(x);
    case HY_ACT_SQUARE:
        return x * x;
    }
    return 0.0f;
}

HY_DEVICE float act_slope(hy_act act, float x) {
    switch (act) {
    case HY_ACT_IDENTITY:
        return 1.0f;
    case HY_ACT_SIGMOID:
        return sigmoid(x) * sigmoid(-x);
    case HY_ACT_SILU:
        return sigmoid(x) * (1.0f + x * sigmoid(-x));
    case HY_ACT_RELU:
        return x > 0 ? 1.0f : 0.0f;
    case HY_ACT_RELU2:
        return x > 0 ? 2 * x : 0.0f;
    case HY_ACT_ELU1:
        return x > 0 ? 1.0f : expf(x);
    case HY_ACT_TANH: /* 1/cosh² = 4s(1 − s), s = σ(2x) */
        return 4.0f * sigmoid(2 * x) * sigmoid(-2 * x);
    case HY_ACT_SOFTPLUS:
        return sigmoid(x);
    case HY_ACT_LOGSIGMOID:
        return sigmoid(-x);
    case HY_ACT_EXP:
        return expf(x);
    case HY_ACT_NEG_EXP:
        return -expf(x);
    case HY_ACT_SQUARE:
        return 2 * x;
    }
    return 0.0f;
}

} // namespace HY_GPU

#endif
