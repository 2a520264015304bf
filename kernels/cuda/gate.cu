/* Gates: decays of linear recurrences, their learned lower bounds, mixing with the token before. */
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* ---- decay gates: g = −e^A softplus(u), or bound·σ(e^A u); u = x + dt_bias ---- */

struct decay_of {
    int64_t n, H, K;
    float lower_bound;
    array x, dx;
    const float *A_log, *dt_bias, *dg;
    float *g, *dA_log, *ddt_bias;
    int acc;
};

HY_DEVICE float gate_input(const decay_of &a, int64_t i) {
    return get(a.x, i) + (a.dt_bias != nullptr ? a.dt_bias[i % (a.H * a.K)] : 0.0f);
}

HY_KERNEL(EACH_THREADS, decay_gate_fwd_kernel)(const decay_of a) {
    each(a.n, [&](int64_t i) {
        const float speed = expf(a.A_log[i / a.K % a.H]), u = gate_input(a, i);
        a.g[i] = a.lower_bound < 0 ? a.lower_bound * sigmoid(speed * u) : -speed * softplus(u);
    });
}

/* dg·∂g/∂u. */
HY_DEVICE float decay_du(const decay_of &a, int64_t i, float speed, float u) {
    const float slope = a.lower_bound < 0 ? a.lower_bound * sigmoid(speed * u) * sigmoid(-speed * u) : -sigmoid(u);
    return a.dg[i] * speed * slope;
}

HY_KERNEL(EACH_THREADS, decay_gate_bwd_kernel)(const decay_of a) {
    each(a.n, [&](int64_t i) {
        put_or_add(a.dx, i, decay_du(a, i, expf(a.A_log[i / a.K % a.H]), gate_input(a, i)), a.acc);
    });
}

struct decay_bias_terms {
    decay_of a;
    HY_MEMBER float at(int64_t t, int64_t c) const {
        const int64_t i = t * a.H * a.K + c;
        return decay_du(a, i, expf(a.A_log[c / a.K]), gate_input(a, i));
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        a.ddt_bias[c] += sum;
    }
};

/* ∂g/∂A_log is g itself, or bound·σ'(e^A u)·e^A u. Rows: tokens and the K channels of a head. */
struct decay_speed_terms {
    decay_of a;
    HY_MEMBER float at(int64_t r, int64_t h) const {
        const int64_t i = (r / a.K * a.H + h) * a.K + r % a.K;
        const float speed = expf(a.A_log[h]), u = gate_input(a, i);
        return a.lower_bound < 0 ? decay_du(a, i, speed, u) * u : -a.dg[i] * speed * softplus(u);
    }
    HY_MEMBER void finish(int64_t h, float sum) const {
        a.dA_log[h] += sum;
    }
};

template <hy_dtype P> static decay_of decay_args(const hy_decay_gate_args *a) {
    return {a->T * a->H * a->K,
            a->H,
            a->K,
            (float)a->lower_bound,
            array_of<P>(HY_ROLE_ACT, a->x),
            array_of<P>(HY_ROLE_ACT, a->dx),
            static_cast<const float *>(a->A_log),
            static_cast<const float *>(a->dt_bias),
            static_cast<const float *>(a->dg),
            static_cast<float *>(a->g),
            static_cast<float *>(a->dA_log),
            static_cast<float *>(a->ddt_bias),
            a->acc};
}

template <hy_dtype P> static void decay_gate_fwd(const hy_decay_gate_args *a) {
    const decay_of args = decay_args<P>(a);
    HY_LAUNCH(decay_gate_fwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void decay_gate_bwd(const hy_decay_gate_args *a) {
    const decay_of args = decay_args<P>(a);
    column_sums(a->T * a->K, a->H, decay_speed_terms{args});
    if (a->ddt_bias != nullptr)
        column_sums(a->T, a->H * a->K, decay_bias_terms{args});
    HY_LAUNCH(decay_gate_bwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

/* ---- bounds: a cumulative softmax over the layers, a thread per channel ---- */

struct bound_column {
    float top, sum, y;
};

HY_DEVICE bound_column bound_column_of(const hy_bound_args &a, int64_t c) {
    const float *w = static_cast<const float *>(a.w) + c;
    bound_column column = {w[0], 0, 0};
    float counted = 0;
    for (int64_t j = 1; j < a.layers; j++)
        column.top = fmaxf(column.top, w[j * a.C]);
    for (int64_t j = 0; j < a.layers; j++) {
        const float e = expf(w[j * a.C] - column.top);
        column.sum += e;
        counted += j >= 1 && j <= a.layer ? e : 0.0f;
    }
    column.y = counted < column.sum ? counted / column.sum : 1.0f;
    return column;
}

HY_KERNEL(EACH_THREADS, bound_fwd_kernel)(const hy_bound_args a) {
    each(a.C, [&](int64_t c) { static_cast<float *>(a.y)[c] = bound_column_of(a, c).y; });
}

HY_KERNEL(EACH_THREADS, bound_bwd_kernel)(const hy_bound_args a) {
    each(a.C, [&](int64_t c) {
        const bound_column column = bound_column_of(a, c);
        const float *w = static_cast<const float *>(a.w) + c;
        float *dw = static_cast<float *>(a.dw) + c;
        const float dy = static_cast<const float *>(a.dy)[c];
        for (int64_t j = 0; j < a.layers; j++) {
            const float p = expf(w[j * a.C] - column.top) / column.sum;
            dw[j * a.C] += p * ((j >= 1 && j <= a.layer ? 1.0f : 0.0f) - column.y) * dy;
        }
    });
}

static void bound_fwd(const hy_bound_args *a) {
    HY_LAUNCH(bound_fwd_kernel, blocks_for(a->C), EACH_THREADS, 0, *a);
}

static void bound_bwd(const hy_bound_args *a) {
    HY_LAUNCH(bound_bwd_kernel, blocks_for(a->C), EACH_THREADS, 0, *a);
}

/* ---- gates above a bound ---- */

struct bound_gate_of {
    int64_t n, C;
    array x, k, dk, dx;
    const float *bound, *dg;
    float *g, *dbound;
    int acc;
};

HY_DEVICE float bound_at(const bound_gate_of &a, int64_t i) {
    return a.bound != nullptr ? a.bound[i % a.C] : 0.0f;
}

HY_KERNEL(EACH_THREADS, bound_gate_fwd_kernel)(const bound_gate_of a) {
    each(a.n, [&](int64_t i) {
        const float x = get(a.x, i), bound = bound_at(a, i), k = (1.0f - bound) * sigmoid(-x);
        put(a.k, i, k);
        a.g[i] = k < 0.5f ? log1pf(-k) : bound > 0 ? logf(bound + (1.0f - bound) * sigmoid(x)) : x - log1pf(expf(x));
    });
}

HY_KERNEL(EACH_THREADS, bound_gate_bwd_kernel)(const bound_gate_of a) {
    each(a.n, [&](int64_t i) {
        const float bound = bound_at(a, i), s = sigmoid(get(a.x, i)), n = sigmoid(-get(a.x, i));
        const float slope = bound > 0 ? (1.0f - bound) * s * n / (bound + (1.0f - bound) * s) : n;
        put_or_add(a.dx, i, a.dg[i] * slope - get(a.dk, i) * (1.0f - bound) * s * n, a.acc);
    });
}

struct bound_terms {
    bound_gate_of a;
    HY_MEMBER float at(int64_t t, int64_t c) const {
        const int64_t i = t * a.C + c;
        const float bound = bound_at(a, i), s = sigmoid(get(a.x, i)), n = sigmoid(-get(a.x, i));
        const float decay = bound + (1.0f - bound) * s;
        return decay > 0 ? a.dg[i] * n / decay - get(a.dk, i) * n : 0.0f;
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        a.dbound[c] += sum;
    }
};

template <hy_dtype P> static bound_gate_of bound_gate_args(const hy_bound_gate_args *a) {
    return {a->T * a->C,
            a->C,
            array_of<P>(HY_ROLE_ACT, a->x),
            array_of<P>(HY_ROLE_ACT, a->k),
            array_of<P>(HY_ROLE_ACT, a->dk),
            array_of<P>(HY_ROLE_ACT, a->dx),
            static_cast<const float *>(a->bound),
            static_cast<const float *>(a->dg),
            static_cast<float *>(a->g),
            static_cast<float *>(a->dbound),
            a->acc};
}

template <hy_dtype P> static void bound_gate_fwd(const hy_bound_gate_args *a) {
    const bound_gate_of args = bound_gate_args<P>(a);
    HY_LAUNCH(bound_gate_fwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void bound_gate_bwd(const hy_bound_gate_args *a) {
    const bound_gate_of args = bound_gate_args<P>(a);
    if (a->dbound != nullptr)
        column_sums(a->T, a->C, bound_terms{args});
    HY_LAUNCH(bound_gate_bwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void gate_entries(hy_table *table) {
    table->decay_gate_fwd = decay_gate_fwd<P>;
    table->decay_gate_bwd = decay_gate_bwd<P>;
    table->bound_fwd = bound_fwd;
    table->bound_bwd = bound_bwd;
    table->bound_gate_fwd = bound_gate_fwd<P>;
    table->bound_gate_bwd = bound_gate_bwd<P>;
}

void overlay_gate(hy_table *table) {
    HY_OVERLAY(gate_entries, table);
}

} // namespace HY_GPU
