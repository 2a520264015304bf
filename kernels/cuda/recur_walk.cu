/* Linear recurrences token by token, for every form: what chunks (recur_scan.cu) do not cover. The columns of a state never meet but in sums
 * of gradients, so a lane walks through a run with a column of its own, in the block's memory, and waits for nobody. Columns of all heads
 * are numbered through: heads with few columns share a warp. */
#include "kernels/cuda/recur.cuh"

namespace HY_GPU {

enum { WALK_COLUMNS = 32 }; /* of a block, and its threads */

struct walk_of {
    recur_of r;
    walk_task task;
    int64_t width, tiles; /* columns of a head; blocks of a run */
};

/* A lane's column. */
struct walker {
    float *S; /* element i at S[i·WALK_COLUMNS] */
    int64_t hv, j;
};

/* Column element i of slot `slot` of states [slots,HV,K,width]. */
HY_DEVICE int64_t walk_state(const walk_of &w, const walker &c, int64_t slot, int64_t i) {
    return ((slot * w.r.a.HV + c.hv) * w.r.a.K + i) * w.width + c.j;
}

/* Σ_i x_i·decay_i·S_i; decays only where asked for. */
HY_DEVICE float walk_dot(const walk_of &w, const walker &c, const void *keys, int64_t t, bool decayed) {
    const int64_t row = key_row(w.r.a, t, c.hv);
    float sum = 0;
    for (int64_t i = 0; i < w.r.a.K; i++) {
        const float x = key_get(w.r, keys, row, i);
        sum += (decayed ? x * expf(log_decay(w.r.a, t, c.hv, i)) : x) * c.S[i * WALK_COLUMNS];
    }
    return sum;
}

/* S after token t from S before it; returns scale·Sᵀq of the one that q reads (0 in maps). */
HY_DEVICE float walk_token(const walk_of &w, const walker &c, int64_t t) {
    const hy_recur_args &a = w.r.a;
    const int64_t row = key_row(a, t, c.hv);
    const bool dplr = a.rule == HY_RULE_DPLR, reads = w.task == WALK_FWD || w.task == WALK_INJECT;
    const bool writes = w.task == WALK_FWD || w.task == WALK_MAP;
    float e = writes ? get(acts(w.r, a.v), (t * a.HV + c.hv) * a.V + c.j) : 0.0f;
    if (a.rule == HY_RULE_DELTA)
        e -= walk_dot(w, c, a.k, t, true);
    const float u = dplr ? walk_dot(w, c, a.a, t, false) : 0.0f;
    e *= beta_get(a, t, c.hv);
    float o = 0;
    for (int64_t i = 0; i < a.K; i++) {
        float &s = c.S[i * WALK_COLUMNS];
        const float before = s;
        s = expf(log_decay(a, t, c.hv, i)) * before + key_get(w.r, a.k, row, i) * e;
        if (dplr)
            s += key_get(w.r, a.b, row, i) * u;
        if (reads)
            o += key_get(w.r, a.q, row, i) * (a.exclusive ? before : s);
    }
    return (float)a.scale * o;
}

/* dS before token t from dS after it, d_o its only other source. */
HY_DEVICE void walk_token_back(const walk_of &w, const walker &c, int64_t t) {
    const hy_recur_args &a = w.r.a;
    const int64_t row = key_row(a, t, c.hv);
    const bool dplr = a.rule == HY_RULE_DPLR, delta = a.rule == HY_RULE_DELTA;
    const float d_o = (float)a.scale * get(acts(w.r, a.d_o), (t * a.HV + c.hv) * a.V + c.j);
    for (int64_t i = 0; i < a.K && !a.exclusive; i++)
        c.S[i * WALK_COLUMNS] += key_get(w.r, a.q, row, i) * d_o;
    const float de = delta ? beta_get(a, t, c.hv) * walk_dot(w, c, a.k, t, false) : 0.0f;
    const float du = dplr ? walk_dot(w, c, a.b, t, false) : 0.0f;
    for (int64_t i = 0; i < a.K; i++) {
        float s = c.S[i * WALK_COLUMNS];
        if (delta)
            s -= key_get(w.r, a.k, row, i) * de;
        s *= expf(log_decay(a, t, c.hv, i));
        if (dplr)
            s += key_get(w.r, a.a, row, i) * du;
        if (a.exclusive)
            s += key_get(w.r, a.q, row, i) * d_o;
        c.S[i * WALK_COLUMNS] = s;
    }
}

HY_DEVICE void walk_begin(const walk_of &w, const walker &c, const hy_run &run) {
    const hy_recur_args &a = w.r.a;
    const bool given = (w.task == WALK_FWD || w.task == WALK_INJECT) && run.s0 >= 0 && a.S0 != nullptr;
    for (int64_t i = 0; i < a.K; i++) {
        const float unit = w.task == WALK_TRANSITION && i == c.j ? 1.0f : 0.0f;
        c.S[i * WALK_COLUMNS] = given ? stat(a.S0, walk_state(w, c, run.s0, i)) : unit;
    }
}

HY_DEVICE void walk_end(const walk_of &w, const walker &c, void *states, int64_t slot, bool forgets) {
    for (int64_t i = 0; i < w.r.a.K && states != nullptr && slot >= 0; i++)
        stat_at(states, walk_state(w, c, slot, i)) = forgets ? 0.0f : c.S[i * WALK_COLUMNS];
}

/* The product of the decays: the transition of additive rules. */
HY_DEVICE void walk_decays(const walk_of &w, const hy_run &run, int64_t hv, int64_t i) {
    const hy_recur_args &a = w.r.a;
    float sum = 0;
    for (int64_t t = run.begin; t < run.begin + run.len; t++)
        sum += log_decay(a, t, hv, i);
    stat_at(a.A_map, (run.s1 * a.HV + hv) * w.width + i) = run.s0 < 0 ? 0.0f : expf(sum);
}

/* Whether nothing is asked of the run. */
HY_DEVICE bool walk_idle(const walk_of &w, const hy_run &run) {
    switch (w.task) {
    case WALK_FWD:
        return false;
    case WALK_INJECT:
    case WALK_BACK:
        return run.s0 < 0;
    default:
        return run.s1 < 0;
    }
}

HY_KERNEL(WALK_COLUMNS, walk_kernel)(const walk_of w) {
    const hy_recur_args &a = w.r.a;
    const hy_run run = a.runs[block_x() / w.tiles];
    const int64_t column = block_x() % w.tiles * WALK_COLUMNS + lane_index();
    const walker c = {shared_at<float>(0) + lane_index(), column / w.width, column % w.width};
    if (c.hv >= a.HV || walk_idle(w, run))
        return;
    if (w.task == WALK_TRANSITION && a.rule == HY_RULE_ADDITIVE) {
        walk_decays(w, run, c.hv, c.j);
        return;
    }
    walk_begin(w, c, run);
    for (int64_t n = 0; n < run.len; n++) {
        if (w.task == WALK_BACK) {
            walk_token_back(w, c, run.begin + run.len - 1 - n);
            continue;
        }
        const int64_t t = run.begin + n, at = (t * a.HV + c.hv) * a.V + c.j;
        const float o = walk_token(w, c, t);
        if (w.task == WALK_FWD || w.task == WALK_INJECT)
            put_or_add(acts(w.r, a.o), at, o, w.task == WALK_INJECT);
    }
    if (w.task == WALK_FWD)
        walk_end(w, c, a.S1, run.s1, false);
    if (w.task == WALK_MAP)
        walk_end(w, c, a.H_map, run.s1, false);
    if (w.task == WALK_TRANSITION)
        walk_end(w, c, a.A_map, run.s1, run.s0 < 0);
    if (w.task == WALK_BACK)
        walk_end(w, c, a.dH, run.s0, false);
}

void recur_walk(const recur_of &args, walk_task task) {
    const hy_recur_args &a = args.a;
    const bool square = task == WALK_TRANSITION;
    const int64_t width =
        !square ? a.V : hy_transition_size(a.decay, a.rule, a.K) / (a.rule == HY_RULE_ADDITIVE ? 1 : a.K);
    const int64_t tiles = (a.HV * width + WALK_COLUMNS - 1) / WALK_COLUMNS;
    const walk_of w = {args, task, width, tiles};
    HY_LAUNCH(walk_kernel, grid(a.n_runs * tiles), WALK_COLUMNS, (size_t)a.K * WALK_COLUMNS * sizeof(float), w);
}

} // namespace HY_GPU
