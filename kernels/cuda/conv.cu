/* Short depthwise causal convolutions along runs. With d = dy·act'(pre):
 *
 *   y_i = act(bias + Σ_j w_j X_{i+j})     X: the W − 1 rows before the run, then its own
 *   dX_r = Σ_j w_j d_{r−j}                dw_j = Σ_i d_i X_{i+j}     dbias = Σ d
 *
 * A thread owns a channel of one token. Rows before a run that lie in x itself (HY_RUN_GOES_ON) get what the run adds to them in a second
 * launch, run after run, since runs may be shorter than W − 1. */
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct conv_of {
    int64_t C, W, n_runs, longest;
    int silu, acc;
    const hy_run *runs;
    array x, halo, y, dy, dx, dhalo;
    const float *w, *bias;
    float *dw, *dbias;
    float *partial; /* [runs·parts, W + 1, C] of the workspace */
    int64_t parts, part_tokens;
};

/* X[r, c] of a run. */
HY_DEVICE float conv_row(const conv_of &a, const hy_run &run, int64_t r, int64_t c) {
    const int64_t before = a.W - 1;
    if (r >= before || run.s0 == HY_RUN_GOES_ON)
        return get(a.x, (run.begin + r - before) * a.C + c);
    return run.s0 < 0 || a.halo.at == nullptr ? 0.0f : get(a.halo, (run.s0 * before + r) * a.C + c);
}

HY_DEVICE float conv_pre(const conv_of &a, const hy_run &run, int64_t i, int64_t c) {
    float sum = a.bias != nullptr ? a.bias[c] : 0.0f;
    for (int64_t j = 0; j < a.W; j++)
        sum += a.w[c * a.W + j] * conv_row(a, run, i + j, c);
    return sum;
}

HY_DEVICE float conv_d(const conv_of &a, const hy_run &run, int64_t i, int64_t c) {
    const float dy = get(a.dy, (run.begin + i) * a.C + c);
    return a.silu ? dy * act_slope(HY_ACT_SILU, conv_pre(a, run, i, c)) : dy;
}

HY_DEVICE float conv_dX(const conv_of &a, const hy_run &run, int64_t r, int64_t c) {
    float sum = 0;
    for (int64_t j = 0; j < a.W; j++)
        if (r - j >= 0 && r - j < run.len)
            sum += a.w[c * a.W + j] * conv_d(a, run, r - j, c);
    return sum;
}

/* Grid: elements of the longest run × runs. */
template <class F> HY_DEVICE void each_of_runs(const conv_of &a, int64_t more_rows, F call) {
    for (int64_t n = block_y(); n < a.n_runs; n += grid_y()) {
        const hy_run run = a.runs[n];
        each((run.len + more_rows) * a.C, [&](int64_t i) { call(run, i / a.C, i % a.C); });
    }
}

HY_KERNEL(EACH_THREADS, conv_fwd_kernel)(const conv_of a) {
    each_of_runs(a, 0, [&](const hy_run &run, int64_t i, int64_t c) {
        const float pre = conv_pre(a, run, i, c);
        put(a.y, (run.begin + i) * a.C + c, a.silu ? act_value(HY_ACT_SILU, pre) : pre);
    });
}

/* dx of the run's own tokens, and dhalo. */
HY_KERNEL_BLOCKS(EACH_THREADS, 4, conv_dx_kernel)(const conv_of a) {
    const int64_t before = a.W - 1;
    each_of_runs(a, before, [&](const hy_run &run, int64_t r, int64_t c) {
        if (r >= before)
            put_or_add(a.dx, (run.begin + r - before) * a.C + c, conv_dX(a, run, r, c), a.acc);
        else if (run.s0 >= 0 && a.dhalo.at != nullptr)
            put(a.dhalo, (run.s0 * before + r) * a.C + c, conv_dX(a, run, r, c));
    });
}

/* What runs add to the tokens before them. */
HY_KERNEL(EACH_THREADS, conv_dx_before_kernel)(const conv_of a) {
    const int64_t before = a.W - 1;
    each(a.C, [&](int64_t c) {
        for (int64_t n = 0; n < a.n_runs; n++) {
            const hy_run run = a.runs[n];
            for (int64_t r = 0; r < before && run.s0 == HY_RUN_GOES_ON; r++)
                put_or_add(a.dx, (run.begin + r - before) * a.C + c, conv_dX(a, run, r, c), 1);
        }
    });
}

/* A thread: one channel of a part of all runs' tokens; W + 1 sums. Parts are cut by the token's place in its run. */
HY_KERNEL_BLOCKS(EACH_THREADS, 4, conv_dw_kernel)(const conv_of a) {
    each(a.parts * a.C, [&](int64_t at) {
        const int64_t part = at / a.C, c = at % a.C, from = part * a.part_tokens;
        float *sums = a.partial + part * (a.W + 1) * a.C + c;
        for (int64_t j = 0; j <= a.W; j++)
            sums[j * a.C] = 0;
        for (int64_t n = 0; n < a.n_runs; n++) {
            const hy_run run = a.runs[n];
            for (int64_t i = from; i < from + a.part_tokens && i < run.len; i++) {
                const float d = conv_d(a, run, i, c);
                for (int64_t j = 0; j < a.W; j++)
                    sums[j * a.C] += d * conv_row(a, run, i + j, c);
                sums[a.W * a.C] += d;
            }
        }
    });
}

HY_KERNEL(EACH_THREADS, conv_dw_sum_kernel)(const conv_of a) {
    each((a.W + 1) * a.C, [&](int64_t at) {
        const int64_t j = at / a.C, c = at % a.C;
        float sum = 0;
        for (int64_t p = 0; p < a.parts; p++)
            sum += a.partial[(p * (a.W + 1) + j) * a.C + c];
        if (j < a.W)
            a.dw[c * a.W + j] += sum;
        else if (a.dbias != nullptr)
            a.dbias[c] += sum;
    });
}

template <hy_dtype P> static conv_of conv_args(const hy_conv_args *a) {
    return {a->C,
            a->W,
            a->n_runs,
            a->run_longest,
            a->act == HY_ACT_SILU,
            a->acc,
            a->runs,
            array_of<P>(HY_ROLE_ACT, a->x),
            array_of<P>(HY_ROLE_ACT, a->halo),
            array_of<P>(HY_ROLE_ACT, a->y),
            array_of<P>(HY_ROLE_ACT, a->dy),
            array_of<P>(HY_ROLE_ACT, a->dx),
            array_of<P>(HY_ROLE_ACT, a->dhalo),
            static_cast<const float *>(a->w),
            static_cast<const float *>(a->bias),
            static_cast<float *>(a->dw),
            static_cast<float *>(a->dbias),
            nullptr,
            0,
            0};
}

static grid blocks_for_runs(const hy_conv_args *a, int64_t more_rows) {
    return grid(blocks_for((a->run_longest + more_rows) * a->C).x,
                a->n_runs < GRID_YZ_MAX ? a->n_runs : (int64_t)GRID_YZ_MAX);
}

template <hy_dtype P> static void conv_fwd(const hy_conv_args *a) {
    HY_LAUNCH(conv_fwd_kernel, blocks_for_runs(a, 0), EACH_THREADS, 0, conv_args<P>(a));
}

enum : int64_t { CONV_PART = 64, CONV_SUMS_MAX = 8 << 20 }; /* tokens of a part, at least; floats of all parts' sums */

template <hy_dtype P> static void conv_bwd(const hy_conv_args *a) {
    conv_of args = conv_args<P>(a);
    const int64_t one = (a->W + 1) * a->C, most = one > 0 && one < CONV_SUMS_MAX ? CONV_SUMS_MAX / one : 1;
    const int64_t wanted = (a->run_longest + CONV_PART - 1) / CONV_PART;
    args.parts = wanted < most ? wanted : most;
    args.part_tokens = args.parts > 0 ? (a->run_longest + args.parts - 1) / args.parts : 0;
    args.partial = static_cast<float *>(workspace((size_t)(args.parts * one) * sizeof(float)));
    HY_LAUNCH(conv_dx_kernel, blocks_for_runs(a, a->W - 1), EACH_THREADS, 0, args);
    HY_LAUNCH(conv_dx_before_kernel, blocks_for(a->n_runs > 0 ? a->C : 0), EACH_THREADS, 0, args);
    HY_LAUNCH(conv_dw_kernel, blocks_for(args.parts * a->C), EACH_THREADS, 0, args);
    HY_LAUNCH(conv_dw_sum_kernel, blocks_for(args.parts > 0 ? one : 0), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void conv_entries(hy_table *table) {
    table->conv_fwd = conv_fwd<P>;
    table->conv_bwd = conv_bwd<P>;
}

void overlay_conv(hy_table *table) {
    HY_OVERLAY(conv_entries, table);
}

} // namespace HY_GPU
