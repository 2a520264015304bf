/* Mixing of two arrays by a third: the token shift. */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct lerp_of {
    int64_t n, cols;
    int shared;
    array x, z, m, y, dy, dx, dz, dm;
    int acc_x, acc_z, acc_m;
};

HY_DEVICE void get_mix(const lerp_of &a, int64_t i, int n, float m[SPAN]) {
    if (!a.shared) {
        get_span(a.m, i, n, m);
        return;
    }
    HY_UNROLL
    for (int j = 0; j < SPAN; j++)
        m[j] = j < n ? get(a.m, (i + j) % a.cols) : 0.0f;
}

HY_KERNEL(EACH_THREADS, lerp_fwd_kernel)(const lerp_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN], m[SPAN];
        get_span(a.x, i, n, x);
        get_span(a.z, i, n, z);
        get_mix(a, i, n, m);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] += (z[j] - x[j]) * m[j];
        put_span(a.y, i, n, x);
    });
}

HY_KERNEL(EACH_THREADS, lerp_bwd_kernel)(const lerp_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN], m[SPAN], d[SPAN];
        get_mix(a, i, n, m);
        get_span(a.dy, i, n, d);
        if (!a.shared) {
            get_span(a.x, i, n, x);
            get_span(a.z, i, n, z);
            HY_UNROLL
            for (int j = 0; j < SPAN; j++)
                x[j] = d[j] * (z[j] - x[j]);
            put_span_or_add(a.dm, i, n, x, a.acc_m);
        }
        HY_UNROLL
        for (int j = 0; j < SPAN; j++) {
            x[j] = d[j] * (1.0f - m[j]);
            z[j] = d[j] * m[j];
        }
        put_span_or_add(a.dx, i, n, x, a.acc_x);
        put_span_or_add(a.dz, i, n, z, a.acc_z);
    });
}

struct lerp_terms {
    lerp_of a;
    HY_MEMBER float at(int64_t r, int64_t c) const {
        const int64_t i = r * a.cols + c;
        return get(a.dy, i) * (get(a.z, i) - get(a.x, i));
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        put_or_add(a.dm, c, sum, 1);
    }
};

template <hy_dtype P> static lerp_of lerp_args(const hy_lerp_args *a) {
    return {a->rows * a->cols,
            a->cols,
            a->shared,
            array_of<P>(HY_ROLE_ACT, a->x),
            array_of<P>(HY_ROLE_ACT, a->z),
            array_of<P>(a->shared ? HY_ROLE_STAT : HY_ROLE_ACT, a->m),
            array_of<P>(HY_ROLE_ACT, a->y),
            array_of<P>(HY_ROLE_ACT, a->dy),
            array_of<P>(HY_ROLE_ACT, a->dx),
            array_of<P>(HY_ROLE_ACT, a->dz),
            array_of<P>(a->shared ? HY_ROLE_GRAD : HY_ROLE_ACT, a->dm),
            a->acc_x,
            a->acc_z,
            a->acc_m};
}

template <hy_dtype P> static void lerp_fwd(const hy_lerp_args *a) {
    const lerp_of args = lerp_args<P>(a);
    HY_LAUNCH(lerp_fwd_kernel, blocks_for_spans(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void lerp_bwd(const hy_lerp_args *a) {
    const lerp_of args = lerp_args<P>(a);
    if (a->shared)
        column_sums(a->rows, a->cols, lerp_terms{args});
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
