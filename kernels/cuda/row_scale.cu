/* Rows divided by their sum or their last column; a token's own part of squared scores. */
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/rows.cuh"

namespace HY_GPU {

/* ---- sumnorm: s = Σx + eps; y = x/s; dx = (dy − Σ(dy·x)/s)/s ---- */

struct sumnorm_of {
    int64_t rows, cols;
    double eps;
    array x, y, dy, dx;
    int acc;
};

HY_KERNEL(EACH_THREADS, sumnorm_fwd_kernel)(const sumnorm_of a) {
    each_row(a.rows, [&](int64_t row) {
        const int64_t at = row * a.cols;
        const float sum = lane_sum(a.cols, [&](int64_t c) { return get(a.x, at + c); }) + (float)a.eps;
        each_lane(a.cols, [&](int64_t c) { put(a.y, at + c, get(a.x, at + c) / sum); });
    });
}

HY_KERNEL(EACH_THREADS, sumnorm_bwd_kernel)(const sumnorm_of a) {
    each_row(a.rows, [&](int64_t row) {
        const int64_t at = row * a.cols;
        double sum = 0, dot = 0; /* what is left of dy − dot may be little */
        each_lane(a.cols, [&](int64_t c) {
            sum += get(a.x, at + c);
            dot += (double)get(a.x, at + c) * get(a.dy, at + c);
        });
        sum = warp_sum(sum) + a.eps;
        dot = warp_sum(dot) / sum;
        each_lane(a.cols,
                  [&](int64_t c) { put_or_add(a.dx, at + c, (float)((get(a.dy, at + c) - dot) / sum), a.acc); });
    });
}

/* ---- ratio: the last of cols + 1 columns normalises the others ---- */

HY_KERNEL(EACH_THREADS, ratio_fwd_kernel)(const sumnorm_of a) {
    each_row(a.rows, [&](int64_t row) {
        const int64_t at = row * (a.cols + 1);
        const float scale = 1.0f / (get(a.x, at + a.cols) + (float)a.eps);
        each_lane(a.cols, [&](int64_t c) { put(a.y, row * a.cols + c, get(a.x, at + c) * scale); });
    });
}

HY_KERNEL(EACH_THREADS, ratio_bwd_kernel)(const sumnorm_of a) {
    each_row(a.rows, [&](int64_t row) {
        const int64_t at = row * (a.cols + 1), dy = row * a.cols;
        const float scale = 1.0f / (get(a.x, at + a.cols) + (float)a.eps);
        const float sum = lane_sum(a.cols, [&](int64_t c) { return get(a.dy, dy + c) * get(a.x, at + c); });
        each_lane(a.cols, [&](int64_t c) { put_or_add(a.dx, at + c, get(a.dy, dy + c) * scale, a.acc); });
        if (lane_index() == 0)
            put_or_add(a.dx, at + a.cols, -sum * scale * scale, a.acc);
    });
}

template <hy_dtype P, class A> static sumnorm_of sumnorm_args(const A *a) {
    return {a->rows,
            a->cols,
            a->eps,
            array_of<P>(HY_ROLE_ACT, a->x),
            array_of<P>(HY_ROLE_ACT, a->y),
            array_of<P>(HY_ROLE_ACT, a->dy),
            array_of<P>(HY_ROLE_ACT, a->dx),
            a->acc};
}

template <hy_dtype P> static void sumnorm_fwd(const hy_l2norm_args *a) {
    HY_LAUNCH(sumnorm_fwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, sumnorm_args<P>(a));
}
template <hy_dtype P> static void sumnorm_bwd(const hy_l2norm_args *a) {
    HY_LAUNCH(sumnorm_bwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, sumnorm_args<P>(a));
}
template <hy_dtype P> static void ratio_fwd(const hy_ratio_args *a) {
    HY_LAUNCH(ratio_fwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, sumnorm_args<P>(a));
}
template <hy_dtype P> static void ratio_bwd(const hy_ratio_args *a) {
    HY_LAUNCH(ratio_bwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, sumnorm_args<P>(a));
}

/* ---- own: y = add + s²/cols·v, s = q·k ---- */

struct own_of {
    int64_t rows, cols, V;
    array q, k, v, add, y, dy, dq, dk, dv;
    int acc_q, acc_k, acc_v;
};

HY_DEVICE float own_score(const own_of &a, int64_t row) {
    return lane_sum(a.cols, [&](int64_t c) { return get(a.q, row * a.cols + c) * get(a.k, row * a.cols + c); });
}

HY_KERNEL(EACH_THREADS, own_fwd_kernel)(const own_of a) {
    each_row(a.rows, [&](int64_t row) {
        const float s = own_score(a, row), weight = s * s / (float)a.cols;
        each_lane(a.V, [&](int64_t c) {
            const int64_t i = row * a.V + c;
            put(a.y, i, weight * get(a.v, i) + (a.add.at != nullptr ? get(a.add, i) : 0.0f));
        });
    });
}

HY_KERNEL(EACH_THREADS, own_bwd_kernel)(const own_of a) {
    each_row(a.rows, [&](int64_t row) {
        const float s = own_score(a, row), weight = s * s / (float)a.cols;
        const float dot = lane_sum(a.V, [&](int64_t c) { return get(a.dy, row * a.V + c) * get(a.v, row * a.V + c); });
        const float slope = dot * 2 * s / (float)a.cols;
        each_lane(a.V, [&](int64_t c) { put_or_add(a.dv, row * a.V + c, weight * get(a.dy, row * a.V + c), a.acc_v); });
        each_lane(a.cols, [&](int64_t c) {
            const int64_t i = row * a.cols + c;
            const float q = get(a.q, i), k = get(a.k, i);
            put_or_add(a.dq, i, slope * k, a.acc_q);
            put_or_add(a.dk, i, slope * q, a.acc_k);
        });
    });
}

template <hy_dtype P> static own_of own_args(const hy_own_args *a) {
    return {a->rows,
            a->cols,
            a->V,
            array_of<P>(HY_ROLE_ACT, a->q),
            array_of<P>(HY_ROLE_ACT, a->k),
            array_of<P>(HY_ROLE_ACT, a->v),
            array_of<P>(HY_ROLE_ACT, a->add),
            array_of<P>(HY_ROLE_ACT, a->y),
            array_of<P>(HY_ROLE_ACT, a->dy),
            array_of<P>(HY_ROLE_ACT, a->dq),
            array_of<P>(HY_ROLE_ACT, a->dk),
            array_of<P>(HY_ROLE_ACT, a->dv),
            a->acc_q,
            a->acc_k,
            a->acc_v};
}

template <hy_dtype P> static void own_fwd(const hy_own_args *a) {
    HY_LAUNCH(own_fwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, own_args<P>(a));
}
template <hy_dtype P> static void own_bwd(const hy_own_args *a) {
    HY_LAUNCH(own_bwd_kernel, blocks_for_rows(a->rows), EACH_THREADS, 0, own_args<P>(a));
}

template <hy_dtype P> static void row_scale_entries(hy_table *table) {
    table->sumnorm_fwd = sumnorm_fwd<P>;
    table->sumnorm_bwd = sumnorm_bwd<P>;
    table->ratio_fwd = ratio_fwd<P>;
    table->ratio_bwd = ratio_bwd<P>;
    table->own_fwd = own_fwd<P>;
    table->own_bwd = own_bwd<P>;
}

void overlay_row_scale(hy_table *table) {
    HY_OVERLAY(row_scale_entries, table);
}

} // namespace HY_GPU
