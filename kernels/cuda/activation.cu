/* Activations, gated products, decay gates, learned factors. */
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* ---- unary ---- */

struct unary_of {
    hy_act act;
    int64_t n;
    float scale, floor;
    array x, y, dy, dx;
    int acc;
};

HY_KERNEL(EACH_THREADS, unary_fwd_kernel)(const unary_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN];
        get_span(a.x, i, n, x);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++) {
            const float value = a.scale * act_value(a.act, x[j]);
            x[j] = value < a.floor ? a.floor : value;
        }
        put_span(a.y, i, n, x);
    });
}

HY_KERNEL(EACH_THREADS, unary_bwd_kernel)(const unary_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], d[SPAN];
        get_span(a.x, i, n, x);
        get_span(a.dy, i, n, d);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            d[j] = a.scale * act_value(a.act, x[j]) < a.floor ? 0.0f : d[j] * a.scale * act_slope(a.act, x[j]);
        put_span_or_add(a.dx, i, n, d, a.acc);
    });
}

template <hy_dtype P> static unary_of unary_args(const hy_unary_args *a) {
    return {a->act,
            a->n,
            (float)a->scale,
            (float)a->floor,
            array_of<P>(a->from, a->x),
            array_of<P>(a->to, a->y),
            array_of<P>(a->to, a->dy),
            array_of<P>(a->from, a->dx),
            a->acc};
}

template <hy_dtype P> static void unary_fwd(const hy_unary_args *a) {
    HY_LAUNCH(unary_fwd_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, unary_args<P>(a));
}

template <hy_dtype P> static void unary_bwd(const hy_unary_args *a) {
    HY_LAUNCH(unary_bwd_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, unary_args<P>(a));
}

/* ---- glu ---- */

struct glu_of {
    hy_act act;
    int64_t n, group;
    array a, z, y, dy, da, dz;
    int acc_a, acc_z;
};

HY_KERNEL(EACH_THREADS, glu_fwd_kernel)(const glu_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN];
        get_span(a.a, i, n, x);
        if (a.group == 1)
            get_span(a.z, i, n, z);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] *= act_value(a.act, a.group == 1 ? z[j] : get(a.z, (i + (j < n ? j : 0)) / a.group));
        put_span(a.y, i, n, x);
    });
}

HY_KERNEL(EACH_THREADS, glu_bwd_kernel)(const glu_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN], d[SPAN];
        get_span(a.a, i, n, x);
        get_span(a.z, i, n, z);
        get_span(a.dy, i, n, d);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++) {
            const float dz = d[j] * x[j] * act_slope(a.act, z[j]);
            x[j] = d[j] * act_value(a.act, z[j]);
            z[j] = dz;
        }
        put_span_or_add(a.da, i, n, x, a.acc_a);
        put_span_or_add(a.dz, i, n, z, a.acc_z);
    });
}

/* A warp per group. */
HY_KERNEL(EACH_THREADS, glu_groups_bwd_kernel)(const glu_of a) {
    const int64_t warps = grid_threads() / 32, groups = a.n / a.group;
    for (int64_t k = grid_thread() / 32; k < groups; k += warps) {
        const float z = get(a.z, k), value = act_value(a.act, z);
        float sum = 0;
        for (int64_t j = k * a.group + lane_index(); j < (k + 1) * a.group; j += 32) {
            const float d = get(a.dy, j);
            sum += d * get(a.a, j);
            put_or_add(a.da, j, d * value, a.acc_a);
        }
        sum = warp_sum(sum) * act_slope(a.act, z);
        if (lane_index() == 0)
            put_or_add(a.dz, k, sum, a.acc_z);
    }
}

template <hy_dtype P> static glu_of glu_args(const hy_glu_args *a) {
    return {a->act,
            a->n,
            a->group,
            array_of<P>(HY_ROLE_ACT, a->a),
            array_of<P>(a->z_role, a->z),
            array_of<P>(HY_ROLE_ACT, a->y),
            array_of<P>(HY_ROLE_ACT, a->dy),
            array_of<P>(HY_ROLE_ACT, a->da),
            array_of<P>(a->z_role, a->dz),
            a->acc_a,
            a->acc_z};
}

template <hy_dtype P> static void glu_fwd(const hy_glu_args *a) {
    HY_LAUNCH(glu_fwd_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, glu_args<P>(a));
}

template <hy_dtype P> static void glu_bwd(const hy_glu_args *a) {
    if (a->group == 1)
        HY_LAUNCH(glu_bwd_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, glu_args<P>(a));
    else
        HY_LAUNCH(glu_groups_bwd_kernel, blocks_for(a->n / a->group * 32), EACH_THREADS, 0, glu_args<P>(a));
}

/* ---- scale ---- */

struct scale_of {
    hy_act act;
    int64_t n, cols, expand, group; /* n: of what is written */
    array x, add, y, dy, dx;
    const float *w;
    int acc;
};

HY_KERNEL(EACH_THREADS, scale_fwd_kernel)(const scale_of a) {
    each(a.n, [&](int64_t i) {
        const float factor = act_value(a.act, a.w[i % a.cols / a.group]);
        put(a.y, i, (a.add.at != nullptr ? get(a.add, i) : 0.0f) + get(a.x, i / a.expand) * factor);
    });
}

HY_KERNEL(EACH_THREADS, scale_bwd_kernel)(const scale_of a) {
    each(a.n, [&](int64_t i) {
        float sum = 0;
        for (int64_t e = 0; e < a.expand; e++) {
            const int64_t j = i * a.expand + e;
            sum += get(a.dy, j) * act_value(a.act, a.w[j % a.cols / a.group]);
        }
        put_or_add(a.dx, i, sum, a.acc);
    });
}

/* A weight's columns are `group` neighbours: rows of the sum are tokens and those. */
struct scale_terms {
    hy_act act;
    int64_t cols, expand, group;
    array x, dy;
    const float *w;
    float *dw;
    HY_MEMBER float at(int64_t r, int64_t m) const {
        const int64_t i = r / group * cols + m * group + r % group;
        return get(dy, i) * get(x, i / expand);
    }
    HY_MEMBER void finish(int64_t m, float sum) const {
        dw[m] += sum * act_slope(act, w[m]);
    }
};

template <hy_dtype P> static scale_of scale_args(const hy_scale_args *a, int64_t n) {
    return {a->act,
            n,
            a->cols,
            a->expand,
            a->group,
            array_of<P>(a->role, a->x),
            array_of<P>(a->role, a->add),
            array_of<P>(a->role, a->y),
            array_of<P>(a->role, a->dy),
            array_of<P>(a->role, a->dx),
            static_cast<const float *>(a->w),
            a->acc};
}

template <hy_dtype P> static void scale_fwd(const hy_scale_args *a) {
    HY_LAUNCH(scale_fwd_kernel, blocks_for(a->T * a->cols), EACH_THREADS, 0, scale_args<P>(a, a->T * a->cols));
}

template <hy_dtype P> static void scale_bwd(const hy_scale_args *a) {
    const scale_of args = scale_args<P>(a, a->T * (a->cols / a->expand));
    column_sums(
        a->T * a->group, a->cols / a->group,
        scale_terms{a->act, a->cols, a->expand, a->group, args.x, args.dy, args.w, static_cast<float *>(a->dw)});
    HY_LAUNCH(scale_bwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void activation_entries(hy_table *table) {
    table->unary_fwd = unary_fwd<P>;
    table->unary_bwd = unary_bwd<P>;
    table->glu_fwd = glu_fwd<P>;
    table->glu_bwd = glu_bwd<P>;
    table->scale_fwd = scale_fwd<P>;
    table->scale_bwd = scale_bwd<P>;
}

void overlay_activation(hy_table *table) {
    HY_OVERLAY(activation_entries, table);
}

} // namespace HY_GPU
