/* Recurrences of single numbers, h = e^g h + beta x, a value head per channel. A block takes 32 channels of a run, a warp one of its parts in
 * time: it first makes the map of its part, takes the state that the maps before it make of the run's first, and walks once more. The
 * reverse walk goes the same way from the last token: y = e^g (y + scale·do). */
#include "kernels/cuda/recur.cuh"

namespace HY_GPU {

enum { PARTS = 16, CHANNELS = 32 };

struct channels_of {
    recur_of r;
    channel_task task;
    float *before; /* [T,HV] h before each token, of the backward pass */
};

HY_DEVICE bool is_back(channel_task task) {
    return task == CHANNELS_MAP_BWD || task == CHANNELS_GRADS;
}

/* What token t is to its channel: y becomes a·y + x, or a·(y + x) back. */
struct channel_token {
    float a, x;
};

HY_DEVICE channel_token channel_get(const channels_of &w, int64_t t, int64_t c) {
    const hy_recur_args &a = w.r.a;
    const int64_t at = t * a.HV + c;
    const float decay = expf(stat(a.g, at));
    if (is_back(w.task))
        return {decay, (float)a.scale * get(acts(w.r, a.d_o), at)};
    return {decay, w.task == CHANNELS_INJECT ? 0.0f : beta_get(a, t, c) * get(acts(w.r, a.v), at)};
}

/* The token's results; y before it. */
HY_DEVICE void channel_put(const channels_of &w, int64_t t, int64_t c, channel_token in, float y) {
    const hy_recur_args &a = w.r.a;
    const int64_t at = t * a.HV + c;
    if (w.task == CHANNELS_FWD || w.task == CHANNELS_INJECT)
        put_or_add(acts(w.r, a.o), at, (float)a.scale * (in.a * y + in.x), w.task == CHANNELS_INJECT);
    if (w.task == CHANNELS_STATES)
        w.before[at] = y;
    if (w.task != CHANNELS_GRADS)
        return;
    const float dh = y + in.x;
    put(acts(w.r, a.dv), at, beta_get(a, t, c) * dh);
    if (a.dbeta != nullptr)
        stat_at(a.dbeta, at) = dh * get(acts(w.r, a.v), at);
    if (a.dg != nullptr)
        stat_at(a.dg, at) = dh * in.a * w.before[at];
}

HY_DEVICE float channel_begin(const channels_of &w, const hy_run &run, int64_t c) {
    const hy_recur_args &a = w.r.a;
    const bool forward = w.task == CHANNELS_FWD || w.task == CHANNELS_INJECT || w.task == CHANNELS_STATES;
    const void *from = forward ? a.S0 : w.task == CHANNELS_GRADS ? a.dS1 : nullptr;
    const int64_t slot = forward ? run.s0 : run.s1;
    return from == nullptr || slot < 0 ? 0.0f : stat(from, slot * a.HV + c);
}

HY_DEVICE void channel_end(const channels_of &w, const hy_run &run, int64_t c, float decay, float y) {
    const hy_recur_args &a = w.r.a;
    void *const to = w.task == CHANNELS_FWD       ? a.S1
                     : w.task == CHANNELS_MAP     ? a.H_map
                     : w.task == CHANNELS_MAP_BWD ? a.dH
                     : w.task == CHANNELS_GRADS   ? a.dS0
                                                  : nullptr;
    const int64_t slot = is_back(w.task) ? run.s0 : run.s1;
    if (to != nullptr && slot >= 0)
        stat_at(to, slot * a.HV + c) = y;
    if (w.task == CHANNELS_MAP && a.A_map != nullptr && slot >= 0)
        stat_at(a.A_map, slot * a.HV + c) = run.s0 < 0 ? 0.0f : decay;
}

HY_KERNEL_BLOCKS(PARTS *CHANNELS, 2, channels_kernel)(const channels_of w) {
    const hy_recur_args &a = w.r.a;
    const bool back = is_back(w.task);
    const int64_t tiles = (a.HV + CHANNELS - 1) / CHANNELS;
    const hy_run run = a.runs[block_x() / tiles];
    const int64_t c = block_x() % tiles * CHANNELS + lane_index(), part = (run.len + PARTS - 1) / PARTS;
    const int64_t first = warp_index() * part, rest = run.len - first,
                  n = c >= a.HV || rest < 0 ? 0
                      : rest < part         ? rest
                                            : part;
    const auto token = [&](int64_t i) { return back ? run.begin + run.len - 1 - first - i : run.begin + first + i; };
    float *decays = shared_at<float>(0), *states = decays + PARTS * CHANNELS;
    float decay = 1, y = 0;
    for (int64_t i = 0; i < n; i++) {
        const channel_token in = channel_get(w, token(i), c);
        decay *= in.a;
        y = back ? in.a * (y + in.x) : in.a * y + in.x;
    }
    decays[thread_index()] = decay, states[thread_index()] = y;
    barrier();
    if (c >= a.HV || (w.task == CHANNELS_INJECT && run.s0 < 0))
        return;
    y = channel_begin(w, run, c), decay = 1;
    for (int s = 0; s < warp_index(); s++) {
        y = decays[s * CHANNELS + lane_index()] * y + states[s * CHANNELS + lane_index()];
        decay *= decays[s * CHANNELS + lane_index()];
    }
    for (int64_t i = 0; i < n; i++) {
        const channel_token in = channel_get(w, token(i), c);
        channel_put(w, token(i), c, in, y);
        decay *= in.a;
        y = back ? in.a * (y + in.x) : in.a * y + in.x;
    }
    if (warp_index() == PARTS - 1)
        channel_end(w, run, c, decay, y);
}

void recur_channels(const recur_of &args, channel_task task) {
    const channels_of w = {args, task, static_cast<float *>(args.a.work)};
    const int64_t tiles = (args.a.HV + CHANNELS - 1) / CHANNELS;
    HY_LAUNCH(channels_kernel, grid(args.a.n_runs * tiles), PARTS * CHANNELS, 2 * PARTS * CHANNELS * sizeof(float), w);
}

} // namespace HY_GPU
