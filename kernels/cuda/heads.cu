/* What is done to the channels of every head before attention: rotary position embedding, keys and values of latents. */
#include "kernels/cuda/array.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* ---- rope ---- */

struct rope_of {
    hy_rope_args a;
    int64_t half, spans, rest; /* turned pairs of a head; spans of them; other channels */
    array x, y;
};

/* Angles reach millions of turns: those and what is left of them are taken in double, a sine of less than a turn in float. */
HY_DEVICE void turn_of(const hy_rope_args &a, int64_t t, int64_t i, float *cosine, float *sine) {
    const double angle = (double)a.pos[t] * exp2(-2.0 * (double)i / (double)a.rot * log2(a.base));
    const double turns = angle * 0.15915494309189535;
    turn((float)(2 * (turns - rint(turns))), sine, cosine);
    *sine = a.inverse ? -*sine : *sine;
}

/* Pairs i .. i + n − 1 of token t, turned in all heads: their angles are the same. */
HY_DEVICE void turn_span(const rope_of &a, int64_t t, int64_t i, int n) {
    float cosine[SPAN], sine[SPAN];
    HY_UNROLL
    for (int j = 0; j < SPAN; j++)
        if (j < n)
            turn_of(a.a, t, i + j, &cosine[j], &sine[j]);
        else
            cosine[j] = 1.0f, sine[j] = 0.0f;
    for (int64_t h = 0; h < a.a.H; h++) {
        const int64_t at = (t * a.a.H + h) * a.a.D + a.a.first + i;
        float u[SPAN], v[SPAN];
        get_span(a.x, at, n, u);
        get_span(a.x, at + a.half, n, v);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++) {
            const float turned = u[j] * cosine[j] - v[j] * sine[j];
            v[j] = u[j] * sine[j] + v[j] * cosine[j];
            u[j] = turned;
        }
        put_span_or_add(a.y, at, n, u, a.a.acc);
        put_span_or_add(a.y, at + a.half, n, v, a.a.acc);
    }
}

/* Channel c of those that do not turn: before the first and behind the last that do. */
HY_DEVICE void pass_channel(const rope_of &a, int64_t row, int64_t c) {
    const int64_t at = row * a.a.D + (c < a.a.first ? c : c + 2 * a.half);
    put_or_add(a.y, at, get(a.x, at), a.a.acc);
}

HY_KERNEL(EACH_THREADS, rope_kernel)(const rope_of a) {
    each(a.a.T * a.spans, [&](int64_t i) {
        const int64_t first = i % a.spans * SPAN, left = a.half - first;
        turn_span(a, i / a.spans, first, left < SPAN ? (int)left : (int)SPAN);
    });
    each(a.a.T * a.a.H * a.rest, [&](int64_t i) { pass_channel(a, i / a.rest, i % a.rest); });
}

template <hy_dtype P> static void rope(const hy_rope_args *a) {
    const int64_t half = a->rot / 2, spans = (half + SPAN - 1) / SPAN, rest = a->D - 2 * half;
    const rope_of args = {*a, half, spans, rest, array_of<P>(HY_ROLE_ACT, a->x), array_of<P>(HY_ROLE_ACT, a->y)};
    const int64_t passes = a->T * a->H * rest;
    HY_LAUNCH(rope_kernel, blocks_for(a->T * spans > passes ? a->T * spans : passes), EACH_THREADS, 0, args);
}

/* ---- heads of latents ---- */

struct latent_of {
    hy_latent_heads_args a;
    array product, shared, k, v, dk, dv, dproduct, dshared;
};

template <hy_dtype P> static latent_of latent_args_of(const hy_latent_heads_args *a) {
    return {*a,
            array_of<P>(HY_ROLE_ACT, a->product),
            array_of<P>(HY_ROLE_ACT, a->shared),
            array_of<P>(HY_ROLE_ACT, a->k),
            array_of<P>(HY_ROLE_ACT, a->v),
            array_of<P>(HY_ROLE_STAT, a->dk),
            array_of<P>(HY_ROLE_STAT, a->dv),
            array_of<P>(HY_ROLE_ACT, a->dproduct),
            array_of<P>(HY_ROLE_STAT, a->dshared)};
}

HY_BOTH int64_t spans_of(int64_t n) {
    return (n + SPAN - 1) / SPAN;
}

/* to[to_at + c] = from[from_at + c] for the span c .. of n channels. */
HY_DEVICE void copy_span(const array &from, int64_t from_at, const array &to, int64_t to_at, int64_t c, int64_t n) {
    float x[SPAN];
    const int here = n - c < SPAN ? (int)(n - c) : (int)SPAN;
    get_span(from, from_at + c, here, x);
    put_span(to, to_at + c, here, x);
}

/* A span for each thread and turn: of a head's own channels, of the shared ones, of its values. */
HY_KERNEL(EACH_THREADS, latent_heads_fwd_kernel)(const latent_of a) {
    const int64_t D = a.a.nope + a.a.rope, wide = a.a.nope + a.a.DV;
    const int64_t own = spans_of(a.a.nope), both = own + spans_of(a.a.rope), all = both + spans_of(a.a.DV);
    each(a.a.T * a.a.H * all, [&](int64_t i) {
        const int64_t row = i / all, span = i % all;
        if (span < own)
            copy_span(a.product, row * wide, a.k, row * D, span * SPAN, a.a.nope);
        else if (span < both)
            copy_span(a.shared, row / a.a.H * a.a.rope, a.k, row * D + a.a.nope, (span - own) * SPAN, a.a.rope);
        else
            copy_span(a.product, row * wide + a.a.nope, a.v, row * a.a.DV, (span - both) * SPAN, a.a.DV);
    });
}

template <hy_dtype P> static void latent_heads_fwd(const hy_latent_heads_args *a) {
    const int64_t spans = spans_of(a->nope) + spans_of(a->rope) + spans_of(a->DV);
    HY_LAUNCH(latent_heads_fwd_kernel, blocks_for(a->T * a->H * spans), EACH_THREADS, 0, latent_args_of<P>(a));
}

/* Sum over heads of a span of the shared channels' gradients. */
HY_DEVICE void add_shared(const latent_of &a, int64_t t, int64_t c) {
    const int64_t D = a.a.nope + a.a.rope, at = t * a.a.rope + c;
    const int n = a.a.rope - c < SPAN ? (int)(a.a.rope - c) : (int)SPAN;
    float sum[SPAN];
    get_span(a.dshared, at, n, sum);
    for (int64_t h = 0; h < a.a.H; h++) {
        float x[SPAN];
        get_span(a.dk, (t * a.a.H + h) * D + a.a.nope + c, n, x);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            sum[j] += x[j];
    }
    put_span(a.dshared, at, n, sum);
}

HY_KERNEL(EACH_THREADS, latent_heads_bwd_kernel)(const latent_of a) {
    const int64_t D = a.a.nope + a.a.rope, wide = a.a.nope + a.a.DV, shared = spans_of(a.a.rope);
    const int64_t own = spans_of(a.a.nope), all = own + spans_of(a.a.DV);
    each(a.a.T * a.a.H * all, [&](int64_t i) {
        const int64_t row = i / all, span = i % all;
        if (span < own)
            copy_span(a.dk, row * D, a.dproduct, row * wide, span * SPAN, a.a.nope);
        else
            copy_span(a.dv, row * a.a.DV, a.dproduct, row * wide + a.a.nope, (span - own) * SPAN, a.a.DV);
    });
    each(a.a.T * shared, [&](int64_t i) { add_shared(a, i / shared, i % shared * SPAN); });
}

template <hy_dtype P> static void latent_heads_bwd(const hy_latent_heads_args *a) {
    const int64_t spans = a->H * (spans_of(a->nope) + spans_of(a->DV)), shared = spans_of(a->rope);
    HY_LAUNCH(latent_heads_bwd_kernel, blocks_for(a->T * (spans > shared ? spans : shared)), EACH_THREADS, 0,
              latent_args_of<P>(a));
}

template <hy_dtype P> static void heads_entries(hy_table *table) {
    table->rope = rope<P>;
    table->latent_heads_fwd = latent_heads_fwd<P>;
    table->latent_heads_bwd = latent_heads_bwd<P>;
}

void overlay_heads(hy_table *table) {
    HY_OVERLAY(heads_entries, table);
}

} // namespace HY_GPU
