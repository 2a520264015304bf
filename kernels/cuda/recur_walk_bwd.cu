/* The backward pass of linear recurrences token by token, for every form, with the formulas of kernels/cpu/ref_recurrence.c. A block is a
 * value head and keeps in `work` the states before every segment of √T tokens and those inside one segment: it never divides by a decay.
 * What sums over rows of the state is a thread's per column, what sums over columns a warp's per row. */
#include "kernels/cuda/recur.cuh"

namespace HY_GPU {

enum { BACK_THREADS = 128, BACK_WARPS = BACK_THREADS / 32 };

struct back_of {
    recur_of r;
    int64_t segment, group;
    float *states; /* [HV][2·segment + 3][K,V]: S, dS, before every segment, inside one */
    float *keys;   /* [4][T,HV,K]: dq, dk, da, db of value heads, where some share keys */
    float *gates;  /* [T,HV]: dg of tokens, HY_DECAY_HEAD */
};

/* The block's share of memory: per column what phase one leaves to phase two, per row dg. */
struct back_shared {
    float *e, *u, *de, *du, *d_o, *db; /* [V] */
    float *dg;                         /* [K] */
};

HY_DEVICE back_shared back_shared_of(const hy_recur_args &a) {
    float *x = shared_at<float>(0);
    return {x, x + a.V, x + 2 * a.V, x + 3 * a.V, x + 4 * a.V, x + 5 * a.V, x + 6 * a.V};
}

/* The thread's columns. */
#define EACH_COLUMN(j) for (int64_t j = thread_index(); j < a.V; j += BACK_THREADS)

HY_DEVICE float back_dot(const back_of &w, const void *keys, int64_t row, const float *S, int64_t j) {
    float sum = 0;
    for (int64_t i = 0; i < w.r.a.K; i++)
        sum += key_get(w.r, keys, row, i) * S[i * w.r.a.V + j];
    return sum;
}

HY_DEVICE float back_decayed_dot(const back_of &w, int64_t t, int64_t hv, const float *S, int64_t j) {
    const hy_recur_args &a = w.r.a;
    const int64_t row = key_row(a, t, hv);
    float sum = 0;
    for (int64_t i = 0; i < a.K; i++)
        sum += key_get(w.r, a.k, row, i) * expf(log_decay(a, t, hv, i)) * S[i * a.V + j];
    return sum;
}

/* v − δ S'ᵀk */
HY_DEVICE float back_error(const back_of &w, int64_t t, int64_t hv, const float *S, int64_t j) {
    const hy_recur_args &a = w.r.a;
    const float v = get(acts(w.r, a.v), (t * a.HV + hv) * a.V + j);
    return a.rule == HY_RULE_DELTA ? v - back_decayed_dot(w, t, hv, S, j) : v;
}

/* The thread's columns of the state after token t; `to` may be `from`. */
HY_DEVICE void back_advance(const back_of &w, int64_t t, int64_t hv, const float *from, float *to) {
    const hy_recur_args &a = w.r.a;
    const int64_t row = key_row(a, t, hv);
    const bool dplr = a.rule == HY_RULE_DPLR;
    EACH_COLUMN(j) {
        const float e = beta_get(a, t, hv) * back_error(w, t, hv, from, j);
        const float u = dplr ? back_dot(w, a.a, row, from, j) : 0.0f;
        for (int64_t i = 0; i < a.K; i++) {
            float s = expf(log_decay(a, t, hv, i)) * from[i * a.V + j] + key_get(w.r, a.k, row, i) * e;
            if (dplr)
                s += key_get(w.r, a.b, row, i) * u;
            to[i * a.V + j] = s;
        }
    }
}

/* Phase one, by columns: d_o into dS, then errors and their gradients; dv. */
HY_DEVICE void back_columns(const back_of &w, int64_t t, int64_t hv, const float *before, float *dS) {
    const hy_recur_args &a = w.r.a;
    const back_shared x = back_shared_of(a);
    const int64_t row = key_row(a, t, hv);
    const bool dplr = a.rule == HY_RULE_DPLR;
    EACH_COLUMN(j) {
        const float d_o = (float)a.scale * get(acts(w.r, a.d_o), (t * a.HV + hv) * a.V + j);
        for (int64_t i = 0; i < a.K && !a.exclusive; i++)
            dS[i * a.V + j] += key_get(w.r, a.q, row, i) * d_o;
        const float c = back_dot(w, a.k, row, dS, j), e = back_error(w, t, hv, before, j);
        const float de = beta_get(a, t, hv) * c;
        put(acts(w.r, a.dv), (t * a.HV + hv) * a.V + j, de);
        x.d_o[j] = d_o, x.e[j] = e, x.de[j] = de, x.db[j] = c * e;
        x.u[j] = dplr ? back_dot(w, a.a, row, before, j) : 0.0f;
        x.du[j] = dplr ? back_dot(w, a.b, row, dS, j) : 0.0f;
    }
}

/* Row i of token t's gradient `array` (dq, dk, da, db): into the array itself, or, of heads that share it, beside it. */
HY_DEVICE void back_key_put(const back_of &w, int array, void *out, int64_t t, int64_t hv, int64_t i, float value) {
    const hy_recur_args &a = w.r.a;
    if (w.group > 1)
        w.keys[((array * a.T + t) * a.HV + hv) * a.K + i] = value;
    else if (out != nullptr)
        put(acts(w.r, out), key_row(a, t, hv) + i, value);
}

/* Phase two, by rows: a warp's row i of the state. */
HY_DEVICE void back_row(const back_of &w, int64_t t, int64_t hv, int64_t i, const float *before, const float *after,
                        float *dS) {
    const hy_recur_args &a = w.r.a;
    const back_shared x = back_shared_of(a);
    const int64_t row = key_row(a, t, hv);
    const bool delta = a.rule == HY_RULE_DELTA, dplr = a.rule == HY_RULE_DPLR;
    const float decay = expf(log_decay(a, t, hv, i)), beta = beta_get(a, t, hv);
    const float q = key_get(w.r, a.q, row, i), k = key_get(w.r, a.k, row, i);
    const float reads = dplr ? key_get(w.r, a.a, row, i) : 0.0f;
    float dq = 0, dk = 0, dg = 0, da = 0, db = 0;
    for (int64_t j = lane_index(); j < a.V; j += 32) {
        const float old = before[i * a.V + j], decayed = decay * old;
        float ds = dS[i * a.V + j];
        dq += x.d_o[j] * (a.exclusive ? old : after[i * a.V + j]);
        dk += beta * ds * x.e[j];
        if (delta) {
            dk -= decayed * x.de[j];
            ds -= k * x.de[j];
        }
        dg += ds * decayed;
        da += old * x.du[j];
        db += ds * x.u[j];
        ds = decay * ds + reads * x.du[j];
        dS[i * a.V + j] = a.exclusive ? ds + q * x.d_o[j] : ds;
    }
    dq = warp_sum(dq), dk = warp_sum(dk), dg = warp_sum(dg);
    if (dplr)
        da = warp_sum(da), db = warp_sum(db);
    if (lane_index() != 0)
        return;
    back_key_put(w, 0, a.dq, t, hv, i, dq);
    back_key_put(w, 1, a.dk, t, hv, i, dk);
    if (dplr) {
        back_key_put(w, 2, a.da, t, hv, i, da);
        back_key_put(w, 3, a.db, t, hv, i, db);
    }
    if (a.decay == HY_DECAY_VECTOR && a.dg != nullptr)
        stat_at(a.dg, (t * a.HV + hv) * a.K + i) = dg;
    x.dg[i] = dg;
}

/* Sums over all rows and over all columns: dg of a head's one decay, dbeta. */
HY_DEVICE void back_sums(const back_of &w, int64_t t, int64_t hv) {
    const hy_recur_args &a = w.r.a;
    const back_shared x = back_shared_of(a);
    float dg = 0, db = 0;
    for (int64_t i = lane_index(); i < a.K; i += 32)
        dg += x.dg[i];
    for (int64_t j = lane_index(); j < a.V; j += 32)
        db += x.db[j];
    dg = warp_sum(dg), db = warp_sum(db);
    if (lane_index() != 0)
        return;
    if (a.dbeta != nullptr)
        stat_at(a.dbeta, t * a.HV + hv) = db;
    if (a.dg != nullptr && a.decay == HY_DECAY_SCALAR)
        stat_at(a.dg, t * a.HV + hv) = dg;
    if (a.dg != nullptr && a.decay == HY_DECAY_HEAD)
        w.gates[t * a.HV + hv] = dg;
}

HY_DEVICE void back_token(const back_of &w, int64_t t, int64_t hv, const float *before, const float *after, float *dS) {
    back_columns(w, t, hv, before, dS);
    barrier();
    for (int64_t i = warp_index(); i < w.r.a.K; i += BACK_WARPS)
        back_row(w, t, hv, i, before, after, dS);
    barrier();
    if (warp_index() == 0)
        back_sums(w, t, hv);
    barrier(); /* the next token's phase one writes what these sums read */
}

/* The thread's columns of a state, from slot `slot` of `states`, zeros where there is none. */
HY_DEVICE void back_load(const hy_recur_args &a, const void *states, int64_t slot, int64_t hv, float *S) {
    const int64_t n = a.K * a.V;
    EACH_COLUMN(j)
    for (int64_t i = 0; i < a.K; i++)
        S[i * a.V + j] = states == nullptr || slot < 0 ? 0.0f : stat(states, (slot * a.HV + hv) * n + i * a.V + j);
}

HY_DEVICE void back_copy(const hy_recur_args &a, const float *from, float *to) {
    EACH_COLUMN(j)
    for (int64_t i = 0; i < a.K; i++)
        to[i * a.V + j] = from[i * a.V + j];
}

HY_DEVICE void back_run(const back_of &w, const hy_run &run, int64_t hv) {
    const hy_recur_args &a = w.r.a;
    const int64_t n = a.K * a.V;
    float *S = w.states + hv * (2 * w.segment + 3) * n, *dS = S + n, *heads = dS + n, *path = heads + w.segment * n;
    back_load(a, a.S0, run.s0, hv, S);
    for (int64_t i = 0; i < run.len; i++) {
        if (i % w.segment == 0)
            back_copy(a, S, heads + i / w.segment * n);
        back_advance(w, run.begin + i, hv, S, S);
    }
    back_load(a, a.dS1, run.s1, hv, dS);
    for (int64_t first = (run.len - 1) / w.segment * w.segment; first >= 0 && run.len > 0; first -= w.segment) {
        const int64_t len = run.len - first < w.segment ? run.len - first : w.segment;
        back_copy(a, heads + first / w.segment * n, path);
        for (int64_t i = 0; i < len; i++)
            back_advance(w, run.begin + first + i, hv, path + i * n, path + (i + 1) * n);
        for (int64_t i = len - 1; i >= 0; i--)
            back_token(w, run.begin + first + i, hv, path + i * n, path + (i + 1) * n, dS);
    }
    EACH_COLUMN(j)
    for (int64_t i = 0; i < a.K && a.dS0 != nullptr && run.s0 >= 0; i++)
        stat_at(a.dS0, (run.s0 * a.HV + hv) * n + i * a.V + j) = dS[i * a.V + j];
}

HY_KERNEL(BACK_THREADS, walk_bwd_kernel)(const back_of w) {
    for (int64_t r = 0; r < w.r.a.n_runs; r++)
        back_run(w, w.r.a.runs[r], block_x());
}

/* ---- launches ---- */

static int64_t walk_segment(int64_t T) {
    int64_t n = 1;
    while (n * n < T)
        n++;
    return n;
}

/* Of a->work. */
static back_of walk_bwd_args(const recur_of &r) {
    const hy_recur_args &a = r.a;
    const int64_t segment = walk_segment(a.T), group = key_group(a);
    const int64_t states = a.HV * (2 * segment + 3) * a.K * a.V;
    const int64_t keys = group > 1 ? (a.rule == HY_RULE_DPLR ? 4 : 2) * a.T * a.HV * a.K : 0;
    const auto at = [&](int64_t n) {
        return reinterpret_cast<float *>((uintptr_t)a.work + (uintptr_t)n * sizeof(float));
    };
    return {r, segment, group, at(0), at(states), at(states + keys)};
}

size_t recur_walk_work(const hy_recur_args *a) {
    recur_of r = {*a, false};
    r.a.work = nullptr;
    return (size_t)(uintptr_t)(walk_bwd_args(r).gates) + (size_t)(a->T * a->HV) * sizeof(float);
}

void recur_walk_bwd(const recur_of &args) {
    const hy_recur_args &a = args.a;
    const back_of w = walk_bwd_args(args);
    HY_LAUNCH(walk_bwd_kernel, grid(a.HV), BACK_THREADS, (size_t)(6 * a.V + a.K) * sizeof(float), w);
    recur_sum_heads(args, w.keys, w.gates);
}

} // namespace HY_GPU
