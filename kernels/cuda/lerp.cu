/* Mixtures of two arrays: the token shift. */
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct lerp_of {
    hy_act act;
    int64_t n, cols;
    int parts, acc_x, acc_z;
    array x, z, dx, dz;
    array m[HY_LERP_MAX], w[HY_LERP_MAX], y[HY_LERP_MAX], dy[HY_LERP_MAX], dm[HY_LERP_MAX], dw[HY_LERP_MAX];
};

/* sum[j] = m + w of elements i .. i + n − 1 of a part. */
HY_DEVICE void get_mix(const lerp_of &a, int part, int64_t i, int n, float sum[SPAN]) {
    if (a.m[part].at != nullptr)
        get_span(a.m[part], i, n, sum);
    HY_UNROLL
    for (int j = 0; j < SPAN; j++)
        sum[j] = (a.m[part].at != nullptr ? sum[j] : 0.0f) + (j < n ? get(a.w[part], (i + j) % a.cols) : 0.0f);
}

HY_KERNEL(EACH_THREADS, lerp_fwd_kernel)(const lerp_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN], mix[SPAN];
        get_span(a.x, i, n, x);
        get_span(a.z, i, n, z);
        for (int part = 0; part < a.parts; part++) {
            get_mix(a, part, i, n, mix);
            HY_UNROLL
            for (int j = 0; j < SPAN; j++)
                mix[j] = x[j] + (z[j] - x[j]) * act_value(a.act, mix[j]);
            put_span(a.y[part], i, n, mix);
        }
    });
}

HY_KERNEL(EACH_THREADS, lerp_bwd_kernel)(const lerp_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN], mix[SPAN], d[SPAN], dx[SPAN] = {}, dz[SPAN] = {};
        get_span(a.x, i, n, x);
        get_span(a.z, i, n, z);
        for (int part = 0; part < a.parts; part++) {
            get_mix(a, part, i, n, mix);
            get_span(a.dy[part], i, n, d);
            HY_UNROLL
            for (int j = 0; j < SPAN; j++) {
                const float s = act_value(a.act, mix[j]);
                dx[j] += d[j] * (1.0f - s);
                dz[j] += d[j] * s;
                d[j] *= (z[j] - x[j]) * act_slope(a.act, mix[j]);
            }
            if (a.m[part].at != nullptr)
                put_span(a.dm[part], i, n, d);
        }
        put_span_or_add(a.dx, i, n, dx, a.acc_x);
        put_span_or_add(a.dz, i, n, dz, a.acc_z);
    });
}

/* Gradients of the channels' weights, of one part after another. */
struct lerp_terms {
    lerp_of a;
    HY_MEMBER float at(int64_t r, int64_t column) const {
        const int part = (int)(column / a.cols);
        const int64_t c = column % a.cols, i = r * a.cols + c;
        const float mix = get(a.w[part], c) + (a.m[part].at != nullptr ? get(a.m[part], i) : 0.0f);
        return get(a.dy[part], i) * (get(a.z, i) - get(a.x, i)) * act_slope(a.act, mix);
    }
    HY_MEMBER void finish(int64_t column, float sum) const {
        put_or_add(a.dw[column / a.cols], column % a.cols, sum, 1);
    }
};

template <hy_dtype P> static lerp_of lerp_args(const hy_lerp_args *a) {
    lerp_of args = {};
    args.act = a->act, args.n = a->rows * a->cols, args.cols = a->cols, args.parts = a->parts;
    args.acc_x = a->acc_x, args.acc_z = a->acc_z;
    args.x = array_of<P>(HY_ROLE_ACT, a->x), args.z = array_of<P>(HY_ROLE_ACT, a->z);
    args.dx = array_of<P>(HY_ROLE_ACT, a->dx), args.dz = array_of<P>(HY_ROLE_ACT, a->dz);
    for (int i = 0; i < a->parts; i++) {
        args.m[i] = array_of<P>(HY_ROLE_ACT, a->m[i]);
        args.w[i] = array_of<P>(HY_ROLE_STAT, a->w[i]);
        args.y[i] = array_of<P>(HY_ROLE_ACT, a->y[i]);
        args.dy[i] = array_of<P>(HY_ROLE_ACT, a->dy[i]);
        args.dm[i] = array_of<P>(HY_ROLE_ACT, a->dm[i]);
        args.dw[i] = array_of<P>(HY_ROLE_GRAD, a->dw[i]);
    }
    return args;
}

template <hy_dtype P> static void lerp_fwd(const hy_lerp_args *a) {
    const lerp_of args = lerp_args<P>(a);
    HY_LAUNCH(lerp_fwd_kernel, blocks_for_spans(args.n), EACH_THREADS, 0, args);
}

/* The sums first: dm may take the place of dy. */
template <hy_dtype P> static void lerp_bwd(const hy_lerp_args *a) {
    const lerp_of args = lerp_args<P>(a);
    column_sums(a->rows, a->parts * a->cols, lerp_terms{args});
    HY_LAUNCH(lerp_bwd_kernel, blocks_for_spans(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void lerp_entries(hy_table *table) {
    table->lerp_fwd = lerp_fwd<P>;
    table->lerp_bwd = lerp_bwd<P>;
}

void overlay_lerp(hy_table *table) {
    HY_OVERLAY(lerp_entries, table);
}

} // namespace HY_GPU
