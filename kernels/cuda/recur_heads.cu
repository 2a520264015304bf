/* Gradients of recurrences that several value heads, or all tokens, add to: summed in a fixed order after the rest. */
#include "kernels/cuda/recur.cuh"

namespace HY_GPU {

struct heads_of {
    recur_of r;
    int64_t group; /* value heads of a key */
    const float *keys, *gates;
};

HY_DEVICE void heads_key(const heads_of &w, int array, void *out, int64_t t, int64_t h, int64_t i) {
    const hy_recur_args &a = w.r.a;
    const float *from = w.keys + ((array * a.T + t) * a.HV + h * w.group) * a.K + i;
    float sum = 0;
    for (int64_t j = 0; j < w.group; j++)
        sum += from[j * a.K];
    if (out != nullptr)
        put(acts(w.r, out), (t * a.H + h) * a.K + i, sum);
}

/* Of tokens of runs: others are not written to. */
HY_KERNEL(EACH_THREADS, heads_keys_kernel)(const heads_of w) {
    const hy_recur_args &a = w.r.a;
    for (int64_t r = 0; r < a.n_runs; r++) {
        const int64_t begin = a.runs[r].begin;
        each(a.runs[r].len * a.H * a.K, [&](int64_t n) {
            const int64_t t = begin + n / (a.H * a.K), h = n / a.K % a.H, i = n % a.K;
            heads_key(w, 0, a.q != nullptr ? a.dq : nullptr, t, h, i);
            heads_key(w, 1, a.k != nullptr ? a.dk : nullptr, t, h, i);
            if (a.rule == HY_RULE_DPLR) {
                heads_key(w, 2, a.da, t, h, i);
                heads_key(w, 3, a.db, t, h, i);
            }
        });
    }
}

/* A warp per head. */
HY_KERNEL(32, heads_gates_kernel)(const heads_of w) {
    const hy_recur_args &a = w.r.a;
    double sum = 0;
    for (int64_t r = 0; r < a.n_runs; r++)
        for (int64_t i = lane_index(); i < a.runs[r].len; i += 32)
            sum += (double)w.gates[(a.runs[r].begin + i) * a.HV + block_x()];
    sum = warp_sum(sum);
    if (lane_index() == 0)
        stat_at(a.dg, block_x()) += (float)sum;
}

void recur_sum_heads(const recur_of &args, const float *keys, const float *gates) {
    const hy_recur_args &a = args.a;
    const heads_of w = {args, key_group(a), keys, gates};
    if (w.group > 1)
        HY_LAUNCH(heads_keys_kernel, blocks_for(a.T * a.H * a.K), EACH_THREADS, 0, w);
    if (a.dg != nullptr && a.decay == HY_DECAY_HEAD)
        HY_LAUNCH(heads_gates_kernel, grid(a.HV), 32, 0, w);
}

} // namespace HY_GPU
