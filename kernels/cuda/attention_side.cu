/* What stands beside softmax attention: delta, sinks, and the heads made from a latent. */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/rows.cuh"

namespace HY_GPU {

/* ---- delta[r] = Σ_c d_o·y ---- */

struct delta_of {
    int64_t rows, DV;
    array y, d_o;
    float *delta;
};

HY_KERNEL(EACH_THREADS, attn_delta_kernel)(const delta_of a) {
    each_row(a.rows, [&](int64_t row) {
        const float sum =
            lane_sum(a.DV, [&](int64_t c) { return get(a.d_o, row * a.DV + c) * get(a.y, row * a.DV + c); });
        if (lane_index() == 0)
            a.delta[row] = sum;
    });
}

template <hy_dtype P> static void attn_delta(const hy_attn_delta_args *a) {
    const delta_of args = {a->rows, a->DV, array_of<P>(HY_ROLE_ACT, a->y), array_of<P>(HY_ROLE_ACT, a->d_o),
                           static_cast<float *>(a->delta)};
    HY_LAUNCH(attn_delta_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, args);
}

/* ---- sinks ---- */

HY_KERNEL(EACH_THREADS, attn_sink_fwd_kernel)(const hy_attn_sink_args a) {
    const float *sinks = static_cast<const float *>(a.sinks);
    each(a.T * a.H, [&](int64_t i) {
        const float *mine = sinks + i % a.H * a.N;
        float top = -INFINITY, sum = 0;
        for (int64_t n = 0; n < a.N; n++)
            top = fmaxf(top, mine[n]);
        for (int64_t n = 0; n < a.N; n++)
            sum += expf(mine[n] - top);
        static_cast<float *>(a.lse)[i] = top + logf(sum);
    });
}

static void attn_sink_fwd(const hy_attn_sink_args *a) {
    HY_LAUNCH(attn_sink_fwd_kernel, blocks_for(a->T * a->H), EACH_THREADS, 0, *a);
}

struct sink_terms {
    int64_t H, N;
    const float *sinks, *lse, *delta;
    float *dsinks;
    HY_MEMBER float at(int64_t t, int64_t c) const {
        return expf(sinks[c] - lse[t * H + c / N]) * delta[t * H + c / N];
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        dsinks[c] -= sum;
    }
};

static void attn_sink_bwd(const hy_attn_sink_args *a) {
    column_sums(a->T, a->H * a->N,
                sink_terms{a->H, a->N, static_cast<const float *>(a->sinks), static_cast<const float *>(a->lse),
                           static_cast<const float *>(a->delta), static_cast<float *>(a->dsinks)});
}

/* ---- latent heads ---- */

struct latent_of {
    int64_t T, H, nope, rope, DV;
    array product, shared, k, v, dproduct;
    const float *dk, *dv;
    float *dshared;
};

HY_KERNEL(EACH_THREADS, latent_heads_fwd_kernel)(const latent_of a) {
    const int64_t D = a.nope + a.rope, wide = a.nope + a.DV;
    each(a.T * a.H * (D + a.DV), [&](int64_t i) {
        const int64_t row = i / (D + a.DV), c = i % (D + a.DV);
        if (c >= D)
            put(a.v, row * a.DV + c - D, get(a.product, row * wide + a.nope + c - D));
        else
            put(a.k, row * D + c,
                c < a.nope ? get(a.product, row * wide + c) : get(a.shared, row / a.H * a.rope + c - a.nope));
    });
}

HY_KERNEL(EACH_THREADS, latent_heads_bwd_kernel)(const latent_of a) {
    const int64_t D = a.nope + a.rope, wide = a.nope + a.DV;
    each(a.T * a.H * wide, [&](int64_t i) {
        const int64_t row = i / wide, c = i % wide;
        put(a.dproduct, i, c < a.nope ? a.dk[row * D + c] : a.dv[row * a.DV + c - a.nope]);
    });
    each(a.T * a.rope, [&](int64_t i) {
        const int64_t t = i / a.rope, c = i % a.rope;
        float sum = a.dshared[i];
        for (int64_t h = 0; h < a.H; h++)
            sum += a.dk[(t * a.H + h) * D + a.nope + c];
        a.dshared[i] = sum;
    });
}

template <hy_dtype P> static latent_of latent_args(const hy_latent_heads_args *a) {
    return {a->T,
            a->H,
            a->nope,
            a->rope,
            a->DV,
            array_of<P>(HY_ROLE_ACT, a->product),
            array_of<P>(HY_ROLE_ACT, a->shared),
            array_of<P>(HY_ROLE_ACT, a->k),
            array_of<P>(HY_ROLE_ACT, a->v),
            array_of<P>(HY_ROLE_ACT, a->dproduct),
            static_cast<const float *>(a->dk),
            static_cast<const float *>(a->dv),
            static_cast<float *>(a->dshared)};
}

template <hy_dtype P> static void latent_heads_fwd(const hy_latent_heads_args *a) {
    HY_LAUNCH(latent_heads_fwd_kernel, blocks_for(a->T * a->H * (a->nope + a->rope + a->DV)), EACH_THREADS, 0,
              latent_args<P>(a));
}

template <hy_dtype P> static void latent_heads_bwd(const hy_latent_heads_args *a) {
    HY_LAUNCH(latent_heads_bwd_kernel, blocks_for(a->T * (a->H * (a->nope + a->DV) + a->rope)), EACH_THREADS, 0,
              latent_args<P>(a));
}

template <hy_dtype P> static void attention_side_entries(hy_table *table) {
    table->attn_delta = attn_delta<P>;
    table->attn_sink_fwd = attn_sink_fwd;
    table->attn_sink_bwd = attn_sink_bwd;
    table->latent_heads_fwd = latent_heads_fwd<P>;
    table->latent_heads_bwd = latent_heads_bwd<P>;
}

void overlay_attention_side(hy_table *table) {
    HY_OVERLAY(attention_side_entries, table);
}

} // namespace HY_GPU
