/* Norms of rows, a warp each. With n = (x − mean)·r the normalised row and D = dy·weight:
 *
 *   rms, layer   r = 1/sqrt(mean of squares + eps)       dx = r(D − mean D − n·mean(D n))      rms: mean = 0, mean D left out
 *   l2           r = 1/sqrt(sum of squares + eps)        dx = r(D − n·Σ(D n))
 *
 * and y·act(gate) forward, dy·act(gate) in dy's place backward, where there is a gate.
 *
 * Gradients of weights are sums over the rows that share them (column_sums); each row's mean and r, which they need, are left in the
 * workspace by the launch before, so rows are taken in slabs that fit. */
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

enum norm_kind { NORM_RMS, NORM_LAYER, NORM_L2 };

struct norm_of {
    norm_kind kind;
    int64_t rows, cols, w_rows;
    float eps, w_offset;
    array x, y, dy, dx;
    array from, branch; /* forward of a sum: x is where it is put, which the norm then reads */
    array gate, dgate;
    hy_act act;
    const float *w, *b;
    int acc, acc_gate;
    float *dw, *db;
    float *rows_mean_r; /* [rows,2] or NULL: for the gradients of weights */
};

struct row_scale {
    float mean, r;
};

/* Sum over the row of a warp: of term(x span, its first column, how many). */
template <class F> HY_DEVICE float row_sum(const norm_of &a, int64_t row, F term) {
    float sum = 0;
    for (int64_t c = lane_index() * SPAN; c < a.cols; c += 32 * SPAN)
        sum += term(row * a.cols + c, c, a.cols - c < SPAN ? (int)(a.cols - c) : (int)SPAN);
    return warp_sum(sum);
}

/* The sum of a span, put where the thread that made it reads it again. */
HY_DEVICE void make_sum(const norm_of &a, int64_t at, int n, float x[SPAN]) {
    float z[SPAN];
    get_span(a.from, at, n, x);
    get_span(a.branch, at, n, z);
    HY_UNROLL
    for (int j = 0; j < SPAN; j++)
        x[j] = rounded(a.x, x[j] + z[j]);
    put_span(a.x, at, n, x);
}

/* sums: x of this row is yet to be made. */
HY_DEVICE row_scale row_scale_of(const norm_of &a, int64_t row, const bool sums = false) {
    row_scale s = {0, 0};
    if (a.kind == NORM_LAYER)
        s.mean = row_sum(a, row,
                         [&](int64_t at, int64_t, int n) {
                             float x[SPAN], sum = 0;
                             if (sums)
                                 make_sum(a, at, n, x);
                             else
                                 get_span(a.x, at, n, x);
                             HY_UNROLL
                             for (int j = 0; j < SPAN; j++)
                                 sum += x[j];
                             return sum;
                         }) /
                 (float)a.cols;
    const float squares = row_sum(a, row, [&](int64_t at, int64_t, int n) {
        float x[SPAN], sum = 0;
        if (sums && a.kind != NORM_LAYER)
            make_sum(a, at, n, x);
        else
            get_span(a.x, at, n, x);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            sum += j < n ? (x[j] - s.mean) * (x[j] - s.mean) : 0.0f;
        return sum;
    });
    s.r = 1.0f / sqrtf((a.kind == NORM_L2 ? squares : squares / (float)a.cols) + a.eps);
    return s;
}

/* Where the weights of a row begin. A slab has fewer than 2^32 rows. */
HY_DEVICE int64_t weights_of_row(const norm_of &a, int64_t row) {
    return (uint32_t)row % (uint32_t)a.w_rows * a.cols;
}

/* Weights of a span: n from `at` on. */
HY_DEVICE void get_weights(const norm_of &a, int64_t at, int n, float w[SPAN]) {
    const float *from = a.w + at;
    HY_UNROLL
    for (int j = 0; j < SPAN; j++)
        w[j] = a.w != nullptr && j < n ? from[j] + a.w_offset : 1.0f;
}

HY_DEVICE void norm_rows(const norm_of &a, const bool sums, const bool gated) {
    const int64_t warps = grid_threads() / 32;
    for (int64_t row = grid_thread() / 32; row < a.rows; row += warps) {
        const row_scale s = row_scale_of(a, row, sums);
        const int64_t weights = weights_of_row(a, row);
        for (int64_t c = lane_index() * SPAN; c < a.cols; c += 32 * SPAN) {
            const int n = a.cols - c < SPAN ? (int)(a.cols - c) : (int)SPAN;
            float x[SPAN], w[SPAN];
            get_span(a.x, row * a.cols + c, n, x);
            get_weights(a, weights + c, n, w);
            HY_UNROLL
            for (int j = 0; j < SPAN; j++)
                x[j] = (x[j] - s.mean) * s.r * w[j] + (a.b != nullptr && j < n ? a.b[weights + c + j] : 0.0f);
            if (gated) {
                get_span(a.gate, row * a.cols + c, n, w);
                HY_UNROLL
                for (int j = 0; j < SPAN; j++)
                    x[j] *= act_value(a.act, w[j]);
            }
            put_span(a.y, row * a.cols + c, n, x);
        }
    }
}

HY_KERNEL(EACH_THREADS, norm_fwd_kernel)(const norm_of a) {
    norm_rows(a, false, false);
}

HY_KERNEL(EACH_THREADS, norm_of_sum_kernel)(const norm_of a) {
    norm_rows(a, true, false);
}

HY_KERNEL(EACH_THREADS, gated_norm_fwd_kernel)(const norm_of a) {
    norm_rows(a, false, true);
}

/* D and n of a span, which lies at `at` and its weights at `weights`; both 0 behind its end. */
HY_DEVICE void get_terms(const norm_of &a, const row_scale &s, int64_t at, int64_t weights, int n, float d[SPAN],
                         float x[SPAN], const bool gated) {
    float w[SPAN];
    get_span(a.x, at, n, x);
    get_span(a.dy, at, n, d);
    if (gated) {
        get_span(a.gate, at, n, w);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            d[j] *= act_value(a.act, w[j]);
    }
    get_weights(a, weights, n, w);
    HY_UNROLL
    for (int j = 0; j < SPAN; j++) {
        d[j] *= w[j];
        x[j] = j < n ? (x[j] - s.mean) * s.r : 0.0f;
    }
}

HY_DEVICE void norm_dx_row(const norm_of &a, const row_scale &s, int64_t row, const bool gated) {
    const int64_t weights = weights_of_row(a, row);
    float dot = row_sum(a, row, [&](int64_t at, int64_t c, int n) {
        float d[SPAN], x[SPAN], sum = 0;
        get_terms(a, s, at, weights + c, n, d, x, gated);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            sum += d[j] * x[j];
        return sum;
    });
    float mean = 0;
    if (a.kind == NORM_LAYER)
        mean = row_sum(a, row,
                       [&](int64_t at, int64_t c, int n) {
                           float d[SPAN], x[SPAN], sum = 0;
                           get_terms(a, s, at, weights + c, n, d, x, gated);
                           HY_UNROLL
                           for (int j = 0; j < SPAN; j++)
                               sum += d[j];
                           return sum;
                       }) /
               (float)a.cols;
    dot = a.kind == NORM_L2 ? dot : dot / (float)a.cols;
    for (int64_t c = lane_index() * SPAN; c < a.cols; c += 32 * SPAN) {
        const int n = a.cols - c < SPAN ? (int)(a.cols - c) : (int)SPAN;
        float d[SPAN], x[SPAN];
        get_terms(a, s, row * a.cols + c, weights + c, n, d, x, gated);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            d[j] = s.r * (d[j] - mean - x[j] * dot);
        put_span_or_add(a.dx, row * a.cols + c, n, d, a.acc);
    }
}

HY_DEVICE void dgate_row(const norm_of &a, const row_scale &s, int64_t row) {
    const int64_t weights = weights_of_row(a, row);
    for (int64_t c = lane_index() * SPAN; c < a.cols; c += 32 * SPAN) {
        const int64_t at = row * a.cols + c;
        const int n = a.cols - c < SPAN ? (int)(a.cols - c) : (int)SPAN;
        float d[SPAN], x[SPAN];
        get_span(a.x, at, n, x);
        get_weights(a, weights + c, n, d);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] = (x[j] - s.mean) * s.r * d[j];
        get_span(a.dy, at, n, d);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] *= d[j];
        get_span(a.gate, at, n, d);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] *= act_slope(a.act, d[j]);
        put_span_or_add(a.dgate, at, n, x, a.acc_gate);
    }
}

HY_DEVICE void norm_bwd_rows(const norm_of &a, const bool gated) {
    const int64_t warps = grid_threads() / 32;
    for (int64_t row = grid_thread() / 32; row < a.rows; row += warps) {
        const row_scale s = row_scale_of(a, row);
        if (a.rows_mean_r != nullptr && lane_index() == 0) {
            a.rows_mean_r[2 * row] = s.mean;
            a.rows_mean_r[2 * row + 1] = s.r;
        }
        if (gated && a.dgate.at != nullptr)
            dgate_row(a, s, row);
        if (a.dx.at != nullptr)
            norm_dx_row(a, s, row, gated);
    }
}

HY_KERNEL_BLOCKS(EACH_THREADS, 4, norm_bwd_kernel)(const norm_of a) {
    norm_bwd_rows(a, false);
}

HY_KERNEL_BLOCKS(EACH_THREADS, 3, gated_norm_bwd_kernel)(const norm_of a) {
    norm_bwd_rows(a, true);
}

/* dw = Σ dy·n over the rows that share a weight: `columns` = w_rows·cols of them are one row of the sum. */
struct norm_dw_terms {
    int64_t columns, cols, w_rows;
    array x, dy;
    const float *mean_r;
    float *dw;
    HY_MEMBER float at(int64_t r, int64_t c) const {
        const float *s = mean_r + 2 * (r * w_rows + c / cols);
        return get(dy, r * columns + c) * (get(x, r * columns + c) - s[0]) * s[1];
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        dw[c] += sum;
    }
};

struct gated_norm_dw_terms {
    norm_dw_terms norm;
    array gate;
    hy_act act;
    HY_MEMBER float at(int64_t r, int64_t c) const {
        return norm.at(r, c) * act_value(act, get(gate, r * norm.columns + c));
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        norm.finish(c, sum);
    }
};

struct norm_db_terms {
    int64_t columns;
    array dy;
    float *db;
    HY_MEMBER float at(int64_t r, int64_t c) const {
        return get(dy, r * columns + c);
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        db[c] += sum;
    }
};

enum : int64_t { SLAB = 1 << 21, FWD_SLAB = INT32_MAX }; /* rows: 16 MiB of means and scales; what 32 bits count */

/* Of `rows` rows from `first` on. */
static void norm_bwd_slab(norm_of a, int64_t first, int64_t rows) {
    const int64_t columns = a.w_rows * a.cols;
    const size_t taken = (size_t)rows * 2 * sizeof(float);
    a.rows = rows;
    a.x = behind(a.x, first * a.cols);
    a.dy = behind(a.dy, first * a.cols);
    a.dx = behind(a.dx, first * a.cols);
    a.gate = behind(a.gate, first * a.cols);
    a.dgate = behind(a.dgate, first * a.cols);
    a.rows_mean_r = a.dw != nullptr ? static_cast<float *>(workspace(taken)) : nullptr;
    const norm_dw_terms terms = {columns, a.cols, a.w_rows, a.x, a.dy, a.rows_mean_r, a.dw};
    if (a.gate.at != nullptr) {
        HY_LAUNCH(gated_norm_bwd_kernel, blocks_for(32 * rows), EACH_THREADS, 0, a);
        if (a.dw != nullptr)
            column_sums(rows / a.w_rows, columns, gated_norm_dw_terms{terms, a.gate, a.act}, taken);
        return;
    }
    if (a.dw != nullptr || a.dx.at != nullptr)
        HY_LAUNCH(norm_bwd_kernel, blocks_for(32 * rows), EACH_THREADS, 0, a);
    if (a.dw != nullptr)
        column_sums(rows / a.w_rows, columns, terms, taken);
    if (a.db != nullptr)
        column_sums(rows / a.w_rows, columns, norm_db_terms{columns, a.dy, a.db});
}

static void norm_fwd(norm_of a) {
    const int64_t slab = FWD_SLAB / a.w_rows * a.w_rows, all = a.rows;
    for (int64_t first = 0; first < all; first += slab) {
        a.rows = all - first < slab ? all - first : slab;
        if (a.branch.at != nullptr)
            HY_LAUNCH(norm_of_sum_kernel, blocks_for(32 * a.rows), EACH_THREADS, 0, a);
        else if (a.gate.at != nullptr)
            HY_LAUNCH(gated_norm_fwd_kernel, blocks_for(32 * a.rows), EACH_THREADS, 0, a);
        else
            HY_LAUNCH(norm_fwd_kernel, blocks_for(32 * a.rows), EACH_THREADS, 0, a);
        a.x = behind(a.x, slab * a.cols), a.y = behind(a.y, slab * a.cols);
        a.from = behind(a.from, slab * a.cols), a.branch = behind(a.branch, slab * a.cols);
        a.gate = behind(a.gate, slab * a.cols);
    }
}

static void norm_bwd(const norm_of &a) {
    const int64_t slab = SLAB / a.w_rows * a.w_rows;
    for (int64_t first = 0; first < a.rows; first += slab)
        norm_bwd_slab(a, first, a.rows - first < slab ? a.rows - first : slab);
}

template <hy_dtype P, class A> static norm_of norm_args(norm_kind kind, const A *a) {
    norm_of args = {};
    args.kind = kind;
    args.rows = a->rows;
    args.cols = a->cols;
    args.w_rows = 1;
    args.eps = (float)a->eps;
    args.x = array_of<P>(HY_ROLE_ACT, a->x);
    args.y = array_of<P>(HY_ROLE_ACT, a->y);
    args.dy = array_of<P>(HY_ROLE_ACT, a->dy);
    args.dx = array_of<P>(HY_ROLE_ACT, a->dx);
    args.acc = a->acc;
    return args;
}

template <hy_dtype P, class A> static void set_sum(norm_of &args, const A *a) {
    if (a->branch != nullptr) {
        args.from = args.x;
        args.branch = array_of<P>(HY_ROLE_ACT, a->branch);
        args.x = array_of<P>(HY_ROLE_ACT, a->sum);
    }
}

template <hy_dtype P> static norm_of rms_args(const hy_rmsnorm_args *a) {
    norm_of args = norm_args<P>(NORM_RMS, a);
    args.w_rows = a->w_rows;
    args.w_offset = a->zero_centred ? 1.0f : 0.0f;
    args.w = static_cast<const float *>(a->w);
    args.dw = static_cast<float *>(a->dw);
    args.gate = array_of<P>(HY_ROLE_ACT, a->gate);
    args.dgate = array_of<P>(HY_ROLE_ACT, a->dgate);
    args.act = a->act;
    args.acc_gate = a->acc_gate;
    return args;
}

template <hy_dtype P> static norm_of layer_args(const hy_layernorm_args *a) {
    norm_of args = norm_args<P>(NORM_LAYER, a);
    args.w_rows = a->w_rows;
    args.w = static_cast<const float *>(a->w);
    args.b = static_cast<const float *>(a->b);
    args.dw = static_cast<float *>(a->dw);
    args.db = static_cast<float *>(a->db);
    return args;
}

template <hy_dtype P> static void rmsnorm_fwd(const hy_rmsnorm_args *a) {
    norm_of args = rms_args<P>(a);
    set_sum<P>(args, a);
    norm_fwd(args);
}
template <hy_dtype P> static void rmsnorm_bwd(const hy_rmsnorm_args *a) {
    norm_bwd(rms_args<P>(a));
}
template <hy_dtype P> static void layernorm_fwd(const hy_layernorm_args *a) {
    norm_of args = layer_args<P>(a);
    set_sum<P>(args, a);
    norm_fwd(args);
}
template <hy_dtype P> static void layernorm_bwd(const hy_layernorm_args *a) {
    norm_bwd(layer_args<P>(a));
}
template <hy_dtype P> static void l2norm_fwd(const hy_l2norm_args *a) {
    norm_fwd(norm_args<P>(NORM_L2, a));
}
template <hy_dtype P> static void l2norm_bwd(const hy_l2norm_args *a) {
    norm_bwd(norm_args<P>(NORM_L2, a));
}

template <hy_dtype P> static void norm_entries(hy_table *table) {
    table->rmsnorm_fwd = rmsnorm_fwd<P>;
    table->rmsnorm_bwd = rmsnorm_bwd<P>;
    table->layernorm_fwd = layernorm_fwd<P>;
    table->layernorm_bwd = layernorm_bwd<P>;
    table->l2norm_fwd = l2norm_fwd<P>;
    table->l2norm_bwd = l2norm_bwd<P>;
}

void overlay_norm(hy_table *table) {
    HY_OVERLAY(norm_entries, table);
}

} // namespace HY_GPU
