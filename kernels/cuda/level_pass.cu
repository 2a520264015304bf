/* What surrounds the recurrence in a pass of log-linear recurrences (levels.cuh): its spans, what its tokens write and read, sums. */
#include "kernels/cuda/levels.cuh"

namespace HY_GPU {

/* ---- spans ---- */

/* Piece n of those that a run has tokens of. It is of use where something is written here and then read here or leaves. */
HY_DEVICE hy_run level_span(const level_pass &p, const hy_run &run, int64_t first, int64_t end, int64_t n) {
    const int64_t whole = level_block(first, p.piece) + (n << (p.piece + 1)), next = whole + ((int64_t)2 << p.piece);
    const int64_t from = whole > first ? whole : first, to = next < end ? next : end;
    const bool leaves = p.w.r.a.dS1 != nullptr && run.s1 >= 0 && to == end && level_has(end, p.bit);
    const bool written = p.piece > p.bit || !level_has(from, p.bit);
    const bool read = p.piece > p.bit || level_has(to - 1, p.bit);
    return {run.begin + from - first, written && (read || leaves) ? to - from : 0, -1,
            leaves ? run.s1 * p.w.N + p.bit : -1};
}

/* A run that the state of the bit enters. */
HY_DEVICE hy_run level_entered(const level_pass &p, const hy_run &run, int64_t first, int64_t end) {
    const bool enters = run.s0 >= 0 && level_has(first, p.bit);
    const int64_t merged = level_between(end, level_block(first, p.bit)) - 1;
    const bool leaves = p.w.r.a.dS1 != nullptr && run.s1 >= 0 && merged < p.w.N; /* not where the document ends */
    return {run.begin, enters ? run.len : 0, enters ? run.s0 * p.w.N + p.bit : -1,
            enters && leaves ? run.s1 * p.w.N + merged : -1};
}

/* One block. */
HY_KERNEL(EACH_THREADS, level_spans_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    int64_t at = 0;
    for (int64_t r = 0; r < a.n_runs; r++) {
        const hy_run run = a.runs[r];
        if (run.len == 0)
            continue;
        const int64_t first = p.w.pos[run.begin], end = first + run.len;
        const int64_t n = p.entering ? 1 : ((end - 1) >> (p.piece + 1)) - (first >> (p.piece + 1)) + 1;
        for (int64_t i = thread_index(); i < n; i += EACH_THREADS)
            p.spans[at + i] = p.entering ? level_entered(p, run, first, end) : level_span(p, run, first, end, i);
        at += n;
    }
    for (int64_t i = at + thread_index(); i < p.n_spans; i += EACH_THREADS)
        p.spans[i] = {0, 0, -1, -1};
}

/* Blocks of the grid's x take spans, those of y parts of one: call(i) for `per` items of every token, i = t·per + item. */
template <class F> HY_DEVICE void level_each(const level_pass &p, int64_t per, F call) {
    const hy_run span = p.spans[block_x()];
    for (int64_t i = block_y() * EACH_THREADS + thread_index(); i < span.len * per; i += grid_y() * EACH_THREADS)
        call(span.begin * per + i);
}

/* A warp per token and value head: call(t·HV + value head). */
template <class F> HY_DEVICE void level_each_row(const level_pass &p, F call) {
    level_each(p, p.w.r.a.HV * 32, [&](int64_t i) { call(i / 32); });
}

static grid level_grid(const level_pass &p) {
    const int64_t blocks = blocks_for(p.w.r.a.T * p.w.r.a.HV * p.w.r.a.V).x;
    return {p.n_spans, blocks > p.n_spans && p.n_spans > 0 ? blocks / p.n_spans : 1};
}

/* The level at which token t reads what the pass carries; −1 where it does not. */
HY_DEVICE int64_t level_read(const level_pass &p, int64_t t) {
    if (p.entering)
        return level_between(p.w.pos[t], level_block(p.w.pos[p.spans[block_x()].begin], p.bit));
    return level_has(p.w.pos[t], p.bit) ? p.bit + 1 : -1;
}

HY_DEVICE float level_get(const level_pass &p, int64_t t, int64_t hv, int64_t level) {
    return level >= 0 && level < p.w.L ? stat(p.w.l, (t * p.w.r.a.HV + hv) * p.w.L + level) : 0.0f;
}

HY_DEVICE bool level_writes(const level_pass &p, int64_t t) {
    return !p.entering && !level_has(p.w.pos[t], p.bit);
}

HY_KERNEL(EACH_THREADS, level_mask_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_each_row(p, [&](int64_t at) {
        const int64_t t = at / a.HV, level = level_read(p, t);
        const float l = level_get(p, t, at % a.HV, level);
        const bool writes = level_writes(p, t);
        for (int64_t i = at * a.V + lane_index(); i < (at + 1) * a.V; i += 32) {
            if (p.v != nullptr)
                put(acts(p.w.r, p.v), i, writes ? get(acts(p.w.r, a.v), i) : 0.0f);
            if (p.d_o != nullptr)
                put(acts(p.w.r, p.d_o), i, level < 0 ? 0.0f : l * get(acts(p.w.r, a.d_o), i));
        }
    });
}

/* e to this is 0 */
#define LEVEL_FORGETS (-1e4f)

HY_DEVICE int64_t level_decays(const hy_recur_args &a) {
    return a.decay == HY_DECAY_VECTOR ? a.K : 1;
}

HY_KERNEL(EACH_THREADS, level_forget_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    const int64_t per = level_decays(a);
    level_each(p, a.HV * per, [&](int64_t i) {
        const int64_t t = i / (a.HV * per), hv = i / per % a.HV;
        p.g[i] = level_begins(p.w.pos[t], p.bit) ? LEVEL_FORGETS : log_decay(a, t, hv, i % per);
    });
}

void level_prepare(const level_pass &p) {
    HY_LAUNCH(level_spans_kernel, grid(1), EACH_THREADS, 0, p);
    HY_LAUNCH(level_mask_kernel, level_grid(p), EACH_THREADS, 0, p);
    if (p.piece > p.bit)
        HY_LAUNCH(level_forget_kernel, level_grid(p), EACH_THREADS, 0, p);
}

/* ---- sums ---- */

HY_KERNEL(EACH_THREADS, level_add_outputs_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_each_row(p, [&](int64_t at) {
        const int64_t t = at / a.HV, level = level_read(p, t);
        const float l = level_get(p, t, at % a.HV, level);
        for (int64_t i = at * a.V + lane_index(); level >= 0 && i < (at + 1) * a.V; i += 32)
            p.values[i] += l * get(acts(p.w.r, p.o), i);
    });
}

void level_add_outputs(const level_pass &p) {
    HY_LAUNCH(level_add_outputs_kernel, level_grid(p), EACH_THREADS, 0, p);
}

HY_KERNEL_BLOCKS(EACH_THREADS, 5, level_add_grads_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_each(p, a.H * a.K, [&](int64_t i) {
        p.keys[0][i] += get(acts(p.w.r, p.dq), i);
        p.keys[1][i] += get(acts(p.w.r, p.dk), i);
    });
    if (a.dg != nullptr && (a.decay != HY_DECAY_HEAD || p.piece > p.bit))
        level_each(p, a.HV * level_decays(a), [&](int64_t i) {
            if (p.piece > p.bit && level_begins(p.w.pos[i / (a.HV * level_decays(a))], p.bit))
                p.dg[i] = 0; /* the decay there is not the operation's */
            if (a.decay != HY_DECAY_HEAD)
                stat_at(a.dg, i) += p.dg[i];
        });
    if (a.dbeta != nullptr)
        level_each(p, a.HV, [&](int64_t i) { stat_at(a.dbeta, i) += p.dbeta[i]; });
    level_each_row(p, [&](int64_t at) { /* dv; dl = o·d_o */
                                        const int64_t level = level_read(p, at / a.HV);
                                        const bool writes = level_writes(p, at / a.HV),
                                                   reads = level >= 0 && level < p.w.L;
                                        float sum = 0;
                                        for (int64_t i = at * a.V + lane_index(); i < (at + 1) * a.V; i += 32) {
                                            if (writes)
                                                p.values[i] += get(acts(p.w.r, p.dv), i);
                                            if (reads)
                                                sum += get(acts(p.w.r, p.o), i) * get(acts(p.w.r, a.d_o), i);
                                        }
                                        sum = warp_sum(sum);
                                        if (lane_index() == 0 && reads)
                                            stat_at(p.w.dl, at * p.w.L + level) += sum;
    });
}

void level_add_grads(const level_pass &p) {
    HY_LAUNCH(level_add_grads_kernel, level_grid(p), EACH_THREADS, 0, p);
    if (p.w.r.a.decay == HY_DECAY_HEAD && p.piece > p.bit) {
        recur_of heads = p.w.r;
        heads.a.H = heads.a.HV; /* keys have been summed */
        heads.a.runs = p.spans, heads.a.n_runs = p.n_spans;
        recur_sum_heads(heads, nullptr, p.dg);
    }
}

/* ---- the tokens' own part: a warp per token and value head ---- */

/* call(token·HV + value head) for all tokens of runs. */
template <class F> HY_DEVICE void level_each_head(const hy_recur_args &a, F call) {
    for (int64_t r = 0; r < a.n_runs; r++)
        for (int64_t i = grid_thread() / 32; i < a.runs[r].len * a.HV; i += grid_threads() / 32)
            call(a.runs[r].begin * a.HV + i);
}

HY_DEVICE float level_row_dot(const level_pass &p, const void *x, int64_t x_at, const void *y, int64_t y_at,
                              int64_t n) {
    float sum = 0;
    for (int64_t i = lane_index(); i < n; i += 32)
        sum += get(acts(p.w.r, x), x_at + i) * get(acts(p.w.r, y), y_at + i);
    return warp_sum(sum);
}

HY_KERNEL(EACH_THREADS, level_own_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_each_head(a, [&](int64_t at) {
        const int64_t t = at / a.HV, hv = at % a.HV, row = key_row(a, t, hv);
        const float qk = level_row_dot(p, a.q, row, a.k, row, a.K);
        const float own = (float)a.scale * level_get(p, t, hv, 0) * beta_get(a, t, hv) * qk;
        for (int64_t j = lane_index(); j < a.V; j += 32)
            p.values[at * a.V + j] = own * get(acts(p.w.r, a.v), at * a.V + j);
    });
}

void level_begin_outputs(const level_pass &p) {
    HY_LAUNCH(level_own_kernel, blocks_for(32 * p.w.r.a.T * p.w.r.a.HV), EACH_THREADS, 0, p);
}

/* All but dq and dk, which value heads share. */
HY_KERNEL(EACH_THREADS, level_own_values_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_each_head(a, [&](int64_t at) {
        const int64_t t = at / a.HV, hv = at % a.HV, row = key_row(a, t, hv), lane = lane_index();
        const float l = (float)a.scale * level_get(p, t, hv, 0), beta = beta_get(a, t, hv);
        const float qk = level_row_dot(p, a.q, row, a.k, row, a.K);
        const float read = level_row_dot(p, a.v, at * a.V, a.d_o, at * a.V, a.V);
        for (int64_t j = lane; j < a.V; j += 32)
            p.values[at * a.V + j] = l * beta * qk * get(acts(p.w.r, a.d_o), at * a.V + j);
        for (int64_t i = lane; i < p.w.L; i += 32)
            stat_at(p.w.dl, at * p.w.L + i) = i == 0 ? (float)a.scale * beta * qk * read : 0.0f;
        for (int64_t i = lane; a.dg != nullptr && a.decay == HY_DECAY_VECTOR && i < a.K; i += 32)
            stat_at(a.dg, at * a.K + i) = 0;
        if (lane == 0 && a.dg != nullptr && a.decay == HY_DECAY_SCALAR)
            stat_at(a.dg, at) = 0;
        if (lane == 0 && a.dbeta != nullptr)
            stat_at(a.dbeta, at) = l * qk * read;
    });
}

HY_KERNEL(EACH_THREADS, level_own_keys_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_each_head(a, [&](int64_t at) {
        const int64_t t = at / a.HV, group = a.HV / a.H, first = at % a.HV, row = key_row(a, t, first);
        if (first % group != 0)
            return;
        float gain = 0;
        for (int64_t hv = first; hv < first + group; hv++) {
            const int64_t values = (t * a.HV + hv) * a.V;
            gain += (float)a.scale * level_get(p, t, hv, 0) * beta_get(a, t, hv) *
                    level_row_dot(p, a.v, values, a.d_o, values, a.V);
        }
        for (int64_t i = lane_index(); i < a.K; i += 32) {
            p.keys[0][row + i] = gain * get(acts(p.w.r, a.k), row + i);
            p.keys[1][row + i] = gain * get(acts(p.w.r, a.q), row + i);
        }
    });
}

void level_begin_grads(const level_pass &p) {
    const grid blocks = blocks_for(32 * p.w.r.a.T * p.w.r.a.HV);
    HY_LAUNCH(level_own_values_kernel, blocks, EACH_THREADS, 0, p);
    HY_LAUNCH(level_own_keys_kernel, blocks, EACH_THREADS, 0, p);
}

/* ---- states, results ---- */

struct level_clear_of {
    level_of w;
    float *states;
};

/* All states of slots that are named: those of bits that are set come from their pass. */
HY_KERNEL(EACH_THREADS, level_clear_kernel)(const level_clear_of c) {
    const hy_recur_args &a = c.w.r.a;
    const int64_t n = c.w.N * a.HV * a.K * a.V;
    for (int64_t r = block_y(); r < a.n_runs; r += grid_y())
        if (a.runs[r].s0 >= 0)
            each(n, [&](int64_t i) { c.states[a.runs[r].s0 * n + i] = 0; });
}

void level_clear_states(const level_pass &p, void *states) {
    const hy_recur_args &a = p.w.r.a;
    const grid blocks(blocks_for(p.w.N * a.HV * a.K * a.V).x, a.n_runs < GRID_YZ_MAX ? a.n_runs : (int64_t)GRID_YZ_MAX);
    HY_LAUNCH(level_clear_kernel, blocks, EACH_THREADS, 0, (level_clear_of{p.w, static_cast<float *>(states)}));
}

/* to [T,per] = sums, of tokens of runs */
HY_DEVICE void level_round(const level_pass &p, void *to, const float *sums, int64_t per) {
    const hy_recur_args &a = p.w.r.a;
    for (int64_t r = 0; r < a.n_runs; r++) {
        const int64_t begin = a.runs[r].begin * per;
        each(a.runs[r].len * per, [&](int64_t i) { put(acts(p.w.r, to), begin + i, sums[begin + i]); });
    }
}

HY_KERNEL(EACH_THREADS, level_end_outputs_kernel)(const level_pass p) {
    level_round(p, p.w.r.a.o, p.values, p.w.r.a.HV * p.w.r.a.V);
}

HY_KERNEL(EACH_THREADS, level_end_grads_kernel)(const level_pass p) {
    const hy_recur_args &a = p.w.r.a;
    level_round(p, a.dq, p.keys[0], a.H * a.K);
    level_round(p, a.dk, p.keys[1], a.H * a.K);
    level_round(p, a.dv, p.values, a.HV * a.V);
}

void level_end_outputs(const level_pass &p) {
    HY_LAUNCH(level_end_outputs_kernel, blocks_for(p.w.r.a.T * p.w.r.a.HV * p.w.r.a.V), EACH_THREADS, 0, p);
}

void level_end_grads(const level_pass &p) {
    const hy_recur_args &a = p.w.r.a;
    HY_LAUNCH(level_end_grads_kernel, blocks_for(a.T * (a.HV * a.V + a.H * a.K)), EACH_THREADS, 0, p);
}

} // namespace HY_GPU
