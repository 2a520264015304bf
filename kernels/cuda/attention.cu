/* Softmax attention: the small operations around its kernels, and the family's entries. */
#include "kernels/cuda/attn.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* ---- delta: rows of products, a few lanes for each ---- */

struct delta_of {
    int64_t rows, DV;
    int lanes; /* of a row: 1, 2, .. 32 */
    array d_o, y, delta;
};

HY_KERNEL(EACH_THREADS, attn_delta_kernel)(const delta_of a) {
    const int lane = lane_index() % a.lanes;
    const int64_t first = (grid_thread() - lane_index()) / a.lanes, step = grid_threads() / a.lanes;
    for (int64_t of_warp = first; of_warp < a.rows; of_warp += step) {
        const int64_t row = of_warp + lane_index() / a.lanes;
        float sum = 0.0f;
        for (int64_t c = lane * SPAN; row < a.rows && c < a.DV; c += a.lanes * SPAN) {
            const int n = a.DV - c < SPAN ? (int)(a.DV - c) : (int)SPAN;
            float x[SPAN], y[SPAN];
            get_span(a.d_o, row * a.DV + c, n, x);
            get_span(a.y, row * a.DV + c, n, y);
            HY_UNROLL
            for (int j = 0; j < SPAN; j++)
                sum += x[j] * y[j];
        }
        for (int bits = a.lanes / 2; bits > 0; bits /= 2)
            sum += shuffle_xor(sum, bits);
        if (lane == 0 && row < a.rows)
            put(a.delta, row, sum);
    }
}

template <hy_dtype P> static void attn_delta(const hy_attn_delta_args *a) {
    delta_of args = {a->rows,
                     a->DV,
                     1,
                     array_of<P>(HY_ROLE_ACT, a->d_o),
                     array_of<P>(HY_ROLE_ACT, a->y),
                     array_of<P>(HY_ROLE_STAT, a->delta)};
    while (args.lanes < 32 && args.lanes * SPAN < a->DV)
        args.lanes *= 2;
    HY_LAUNCH(attn_delta_kernel, blocks_for(a->rows * args.lanes), EACH_THREADS, 0, args);
}

/* ---- sinks ---- */

struct sink_of {
    hy_attn_sink_args a;
    array sinks, lse, delta, dsinks;
};

template <hy_dtype P> static sink_of sink_args_of(const hy_attn_sink_args *a) {
    return {*a, array_of<P>(HY_ROLE_STAT, a->sinks), array_of<P>(HY_ROLE_STAT, a->lse),
            array_of<P>(HY_ROLE_STAT, a->delta), array_of<P>(HY_ROLE_GRAD, a->dsinks)};
}

HY_KERNEL(EACH_THREADS, attn_sink_fwd_kernel)(const sink_of a) {
    each(a.a.T * a.a.H, [&](int64_t i) {
        const int64_t first = i % a.a.H * a.a.N;
        float max = -INFINITY, sum = 0.0f;
        for (int64_t n = 0; n < a.a.N; n++)
            max = fmaxf(max, get(a.sinks, first + n));
        for (int64_t n = 0; n < a.a.N; n++)
            sum += expf(get(a.sinks, first + n) - max);
        put(a.lse, i, max + logf(sum));
    });
}

template <hy_dtype P> static void attn_sink_fwd(const hy_attn_sink_args *a) {
    HY_LAUNCH(attn_sink_fwd_kernel, blocks_for(a->T * a->H), EACH_THREADS, 0, sink_args_of<P>(a));
}

enum { SINK_THREADS = 512 };

/* A block for each sink; its sum over tokens has one order. */
HY_KERNEL(SINK_THREADS, attn_sink_bwd_kernel)(const sink_of a) {
    const int64_t head = block_x() / a.a.N;
    const float sink = get(a.sinks, block_x());
    float *const of_warps = shared_at<float>(0);
    float sum = 0.0f;
    for (int64_t t = thread_index(); t < a.a.T; t += SINK_THREADS)
        sum += expf(sink - get(a.lse, t * a.a.H + head)) * get(a.delta, t * a.a.H + head);
    sum = warp_sum(sum);
    if (lane_index() == 0)
        of_warps[warp_index()] = sum;
    barrier();
    if (warp_index() == 0) {
        sum = warp_sum(lane_index() < SINK_THREADS / 32 ? of_warps[lane_index()] : 0.0f);
        if (lane_index() == 0)
            put(a.dsinks, block_x(), get(a.dsinks, block_x()) - sum);
    }
}

template <hy_dtype P> static void attn_sink_bwd(const hy_attn_sink_args *a) {
    HY_LAUNCH(attn_sink_bwd_kernel, grid(a->H * a->N), SINK_THREADS, SINK_THREADS / 32 * sizeof(float),
              sink_args_of<P>(a));
}

/* ---- the family ---- */

template <hy_dtype P> static void attn_bwd(const hy_attn_args *a) {
    attn_bwd_queries<P>(a);
    attn_bwd_keys<P>(a);
}

template <hy_dtype P> static size_t attn_work(const hy_attn_args *a) {
    return P == HY_BF16 ? attn_cudnn_work(a) : 0;
}

template <hy_dtype P> static void attention_entries(hy_table *table) {
    table->attn_fwd = attn_fwd<P>;
    table->attn_delta = attn_delta<P>;
    table->attn_bwd = attn_bwd<P>;
    table->attn_sink_fwd = attn_sink_fwd<P>;
    table->attn_sink_bwd = attn_sink_bwd<P>;
    table->attn_work = attn_work<P>;
    table->attn_plan = P == HY_BF16 ? attn_cudnn_plan : nullptr;
}

void overlay_attention(hy_table *table) {
    HY_OVERLAY(attention_entries, table);
}

} // namespace HY_GPU
