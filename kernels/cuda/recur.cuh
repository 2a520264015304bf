/* What the kernels of the linear recurrences share (hy_recur in kernels/kernels.h): arguments and how their elements are found. */
#ifndef HY_KERNELS_CUDA_RECUR_CUH
#define HY_KERNELS_CUDA_RECUR_CUH

#include "kernels/cuda/array.cuh"

namespace HY_GPU {

struct recur_of {
    hy_recur_args a;
    bool half; /* elements of role act are bfloat16 */
};

template <hy_dtype P> static inline recur_of recur_args(const hy_recur_args *a) {
    return {*a, P == HY_BF16};
}

HY_DEVICE array acts(const recur_of &r, const void *at) {
    return {const_cast<void *>(at), r.half};
}
HY_DEVICE float stat(const void *at, int64_t i) {
    return static_cast<const float *>(at)[i];
}
HY_DEVICE float &stat_at(void *at, int64_t i) {
    return static_cast<float *>(at)[i];
}

/* Value heads that share keys, for launchers; 1 where there are no heads. */
inline int64_t key_group(const hy_recur_args &a) {
    return a.H > 0 ? a.HV / a.H : 1;
}

/* Of q, k, a, b: the first element of token t's row for value head hv. */
HY_DEVICE int64_t key_row(const hy_recur_args &a, int64_t t, int64_t hv) {
    return (t * a.H + hv / (a.HV / a.H)) * a.K;
}

/* Element i of it; ones where there is no array. */
HY_DEVICE float key_get(const recur_of &r, const void *keys, int64_t row, int64_t i) {
    return keys == nullptr ? 1.0f : get(acts(r, keys), row + i);
}

/* log decay of row i of the state. */
HY_DEVICE float log_decay(const hy_recur_args &a, int64_t t, int64_t hv, int64_t i) {
    switch (a.decay) {
    case HY_DECAY_HEAD:
        return stat(a.g, hv);
    case HY_DECAY_SCALAR:
        return stat(a.g, t * a.HV + hv);
    case HY_DECAY_VECTOR:
        return stat(a.g, (t * a.HV + hv) * a.K + i);
    default:
        return 0;
    }
}

HY_DEVICE float beta_get(const hy_recur_args &a, int64_t t, int64_t hv) {
    return a.beta == nullptr ? 1.0f : stat(a.beta, t * a.HV + hv);
}

/* ---- by tokens: recur_walk.cu, recur_walk_bwd.cu ---- */

enum walk_task {
    WALK_FWD,        /* o, S1 */
    WALK_INJECT,     /* o += */
    WALK_MAP,        /* H_map */
    WALK_TRANSITION, /* A_map */
    WALK_BACK        /* dH */
};
void recur_walk(const recur_of &args, walk_task task);
void recur_walk_bwd(const recur_of &args);
size_t recur_walk_work(const hy_recur_args *a);

/* ---- K = V = 1 without keys: recur_channels.cu ---- */

enum channel_task {
    CHANNELS_FWD,     /* o, S1 */
    CHANNELS_INJECT,  /* o += */
    CHANNELS_MAP,     /* H_map, A_map */
    CHANNELS_STATES,  /* the work, [T,HV] floats */
    CHANNELS_MAP_BWD, /* dH */
    CHANNELS_GRADS    /* dv, dg, dbeta, dS0, with the work */
};
static inline bool recur_is_channels(const hy_recur_args &a) {
    return a.K == 1 && a.V == 1 && a.q == nullptr && a.k == nullptr && a.rule == HY_RULE_ADDITIVE && !a.exclusive &&
           (a.decay == HY_DECAY_SCALAR || a.decay == HY_DECAY_VECTOR);
}
void recur_channels(const recur_of &args, channel_task task);

/* ---- after chunks and walks of recur_bwd: recur_heads.cu ---- */

/* Where value heads share keys: their dq, dk (and da, db) are the sums over these of keys [.][T,HV,K]. HY_DECAY_HEAD: dg += the sum of gates
 * [T,HV] over the tokens of all runs. */
void recur_sum_heads(const recur_of &args, const float *keys, const float *gates);

} // namespace HY_GPU

#endif
