/* Feature maps of linear attention, a warp per row. */
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/rows.cuh"

namespace HY_GPU {

struct feature_of {
    hy_feature_kind kind;
    int64_t rows, d, out; /* out: hy_feature_cols */
    float linear, square, cross;
    array x, y, dy, dx;
    int acc;
};

/* ---- products of two: [one | linear·x_i | square·x_i² | cross·x_i x_j, i < j], the first two of TAYLOR only ---- */

HY_DEVICE int64_t low_columns(const feature_of &a) {
    return a.kind == HY_FEATURES_TAYLOR ? 1 + a.d : 0;
}

/* Column of pair i < j among the pairs. */
HY_DEVICE int64_t pair_column(int64_t d, int64_t i, int64_t j) {
    return i * d - i * (i + 1) / 2 + j - i - 1;
}

HY_DEVICE void quadratic_fwd(const feature_of &a, int64_t x, int64_t y) {
    const int64_t d = a.d, low = low_columns(a);
    if (low > 0 && lane_index() == 0)
        put(a.y, y, 1.0f);
    each_lane(d, [&](int64_t i) {
        const float xi = get(a.x, x + i);
        if (low > 0)
            put(a.y, y + 1 + i, a.linear * xi);
        put(a.y, y + low + i, a.square * xi * xi);
    });
    for (int64_t i = 0; i < d; i++) {
        const float xi = get(a.x, x + i);
        for (int64_t j = i + 1 + lane_index(); j < d; j += 32)
            put(a.y, y + low + d + pair_column(d, i, j), a.cross * xi * get(a.x, x + j));
    }
}

HY_DEVICE void quadratic_bwd(const feature_of &a, int64_t x, int64_t y) {
    const int64_t d = a.d, low = low_columns(a), pairs = y + low + d;
    each_lane(d, [&](int64_t i) {
        float cross = 0;
        for (int64_t j = 0; j < i; j++)
            cross += get(a.x, x + j) * get(a.dy, pairs + pair_column(d, j, i));
        for (int64_t j = i + 1; j < d; j++)
            cross += get(a.x, x + j) * get(a.dy, pairs + pair_column(d, i, j));
        const float own = 2 * a.square * get(a.x, x + i) * get(a.dy, y + low + i);
        put_or_add(a.dx, x + i, own + a.cross * cross + (low > 0 ? a.linear * get(a.dy, y + 1 + i) : 0.0f), a.acc);
    });
}

/* ---- dpfp: z = [relu x, relu −x] times itself turned by 1 to 4 places ---- */

HY_DEVICE float dpfp_z(const feature_of &a, int64_t x, int64_t m) {
    m = (m + 2 * a.d) % (2 * a.d);
    return fmaxf(m < a.d ? get(a.x, x + m) : -get(a.x, x + m - a.d), 0.0f);
}

HY_DEVICE void dpfp_fwd(const feature_of &a, int64_t x, int64_t y) {
    each_lane(8 * a.d, [&](int64_t c) {
        const int64_t m = c % (2 * a.d), j = 1 + c / (2 * a.d);
        put(a.y, y + c, dpfp_z(a, x, m) * dpfp_z(a, x, m - j % (2 * a.d)));
    });
}

HY_DEVICE float dpfp_dz(const feature_of &a, int64_t x, int64_t y, int64_t m) {
    float sum = 0;
    for (int64_t j = 1; j <= 4; j++) {
        const int64_t block = y + (j - 1) * 2 * a.d;
        sum += get(a.dy, block + m) * dpfp_z(a, x, m - j % (2 * a.d)) +
               get(a.dy, block + (m + j) % (2 * a.d)) * dpfp_z(a, x, m + j);
    }
    return sum;
}

HY_DEVICE void dpfp_bwd(const feature_of &a, int64_t x, int64_t y) {
    each_lane(a.d, [&](int64_t i) {
        const float xi = get(a.x, x + i);
        const float sum = xi > 0 ? dpfp_dz(a, x, y, i) : xi < 0 ? -dpfp_dz(a, x, y, i + a.d) : 0.0f;
        put_or_add(a.dx, x + i, sum, a.acc);
    });
}

/* ---- softmaxes: of factor·x and −factor·x, together (hedgehog, factor 2) or each alone (factor 1) ---- */

struct softmax_scale {
    float top, sum, mean; /* mean: of dy by the weights */
};

template <bool BWD> HY_DEVICE softmax_scale softmax_of(const feature_of &a, int64_t x, int64_t y, float factor) {
    softmax_scale s = {-INFINITY, 0, 0};
    each_lane(a.d, [&](int64_t i) { s.top = fmaxf(s.top, factor * get(a.x, x + i)); });
    s.top = warp_max(s.top);
    s.sum = lane_sum(a.d, [&](int64_t i) { return expf(factor * get(a.x, x + i) - s.top); });
    if (BWD)
        s.mean = lane_sum(a.d, [&](int64_t i) { return expf(factor * get(a.x, x + i) - s.top) * get(a.dy, y + i); });
    return s;
}

/* Of the two, one softmax over both: with the same top and sum. */
HY_DEVICE void join_softmaxes(softmax_scale &up, softmax_scale &down) {
    const float top = fmaxf(up.top, down.top), u = expf(up.top - top), v = expf(down.top - top);
    up = {top, up.sum * u + down.sum * v, up.mean * u + down.mean * v};
    down = up;
}

HY_DEVICE void softmax_fwd(const feature_of &a, int64_t x, int64_t y) {
    const float factor = a.kind == HY_FEATURES_HEDGEHOG ? 2.0f : 1.0f;
    softmax_scale up = softmax_of<false>(a, x, y, factor), down = softmax_of<false>(a, x, y, -factor);
    if (a.kind == HY_FEATURES_HEDGEHOG)
        join_softmaxes(up, down);
    each_lane(a.d, [&](int64_t i) {
        const float xi = factor * get(a.x, x + i);
        put(a.y, y + i, expf(xi - up.top) / up.sum);
        put(a.y, y + a.d + i, expf(-xi - down.top) / down.sum);
    });
}

HY_DEVICE void softmax_bwd(const feature_of &a, int64_t x, int64_t y) {
    const float factor = a.kind == HY_FEATURES_HEDGEHOG ? 2.0f : 1.0f;
    softmax_scale up = softmax_of<true>(a, x, y, factor), down = softmax_of<true>(a, x, y + a.d, -factor);
    if (a.kind == HY_FEATURES_HEDGEHOG)
        join_softmaxes(up, down);
    each_lane(a.d, [&](int64_t i) {
        const float xi = factor * get(a.x, x + i), u = expf(xi - up.top) / up.sum, v = expf(-xi - down.top) / down.sum;
        const float d = u * (get(a.dy, y + i) - up.mean / up.sum) - v * (get(a.dy, y + a.d + i) - down.mean / down.sum);
        put_or_add(a.dx, x + i, factor * d, a.acc);
    });
}

HY_KERNEL(EACH_THREADS, feature_fwd_kernel)(const feature_of a) {
    each_row(a.rows, [&](int64_t row) {
        if (a.kind == HY_FEATURES_DPFP)
            dpfp_fwd(a, row * a.d, row * a.out);
        else if (a.kind == HY_FEATURES_HEDGEHOG || a.kind == HY_FEATURES_TWO_SOFTMAX)
            softmax_fwd(a, row * a.d, row * a.out);
        else
            quadratic_fwd(a, row * a.d, row * a.out);
    });
}

HY_KERNEL(EACH_THREADS, feature_bwd_kernel)(const feature_of a) {
    each_row(a.rows, [&](int64_t row) {
        if (a.kind == HY_FEATURES_DPFP)
            dpfp_bwd(a, row * a.d, row * a.out);
        else if (a.kind == HY_FEATURES_HEDGEHOG || a.kind == HY_FEATURES_TWO_SOFTMAX)
            softmax_bwd(a, row * a.d, row * a.out);
        else
            quadratic_bwd(a, row * a.d, row * a.out);
    });
}

template <hy_dtype P> static feature_of feature_args(const hy_feature_args *a) {
    const double d = (double)a->cols;
    const bool taylor = a->kind == HY_FEATURES_TAYLOR;
    return {a->kind,
            a->rows,
            a->cols,
            hy_feature_cols(a->kind, a->cols),
            (float)pow(d, -0.25),
            (float)(taylor ? 1 / sqrt(2 * d) : 1 / sqrt(d)),
            (float)(taylor ? 1 / sqrt(d) : sqrt(2 / d)),
            array_of<P>(HY_ROLE_ACT, a->x),
            array_of<P>(HY_ROLE_ACT, a->y),
            array_of<P>(HY_ROLE_ACT, a->dy),
            array_of<P>(HY_ROLE_ACT, a->dx),
            a->acc};
}

template <hy_dtype P> static void feature_fwd(const hy_feature_args *a) {
    HY_LAUNCH(feature_fwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, feature_args<P>(a));
}

template <hy_dtype P> static void feature_bwd(const hy_feature_args *a) {
    HY_LAUNCH(feature_bwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, feature_args<P>(a));
}

template <hy_dtype P> static void feature_entries(hy_table *table) {
    table->feature_fwd = feature_fwd<P>;
    table->feature_bwd = feature_bwd<P>;
}

void overlay_feature(hy_table *table) {
    HY_OVERLAY(feature_entries, table);
}

} // namespace HY_GPU
