/* The log-linear recurrences of the table: which passes of the recurrence they are (levels.cuh). */
#include "kernels/cuda/levels.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

void overlay_recur(hy_table *table);

/* The recurrences of precision P. */
template <hy_dtype P> static hy_table level_recurrences;

template <hy_dtype P> static level_pass level_work_of(const hy_level_recur_args *args) {
    const hy_recur_args &a = args->base;
    level_pass p = {};
    p.w = level_args<P>(args);
    p.w.r.a.dg = a.decay == HY_DECAY_NONE ? nullptr : a.dg;
    const auto take = [&](int64_t n, int64_t size) {
        void *at = reinterpret_cast<void *>((uintptr_t)a.work + p.bytes);
        p.bytes += (size_t)((n * size + 63) / 64 * 64);
        return at;
    };
    const int64_t act = P == HY_BF16 ? 2 : 4, keys = a.T * a.H * a.K, values = a.T * a.HV * a.V;
    p.spans = static_cast<hy_run *>(take(a.T, (int64_t)sizeof(hy_run)));
    p.v = take(values, act), p.d_o = take(values, act), p.o = take(values, act), p.dv = take(values, act);
    p.dq = take(keys, act), p.dk = take(keys, act);
    const int64_t decays = a.T * a.HV * (a.decay == HY_DECAY_VECTOR ? a.K : 1);
    p.g = static_cast<float *>(take(decays, 4));
    p.dg = static_cast<float *>(take(decays, 4));
    p.dbeta = static_cast<float *>(take(a.T * a.HV, 4));
    for (int i = 0; i < 2; i++)
        p.keys[i] = static_cast<float *>(take(keys, 4));
    p.values = static_cast<float *>(take(values, 4));
    p.recur = take((int64_t)level_recurrences<P>.recur_work(&a), 1);
    return p;
}

template <hy_dtype P> static size_t level_work(const hy_level_recur_args *a) {
    hy_level_recur_args at = *a;
    at.base.work = nullptr;
    return level_work_of<P>(&at).bytes;
}

/* The recurrence of a pass. */
static hy_recur_args level_recur_args(const level_pass &p) {
    hy_recur_args a = p.w.r.a;
    a.runs = p.spans, a.n_runs = p.n_spans;
    a.work = p.recur;
    a.v = p.v, a.d_o = p.d_o, a.o = p.o;
    a.dq = p.dq, a.dk = p.dk, a.dv = p.dv;
    if (p.piece > p.bit) {
        a.g = p.g;
        a.decay = a.decay == HY_DECAY_VECTOR ? HY_DECAY_VECTOR : HY_DECAY_SCALAR;
    }
    a.dg = a.dg == nullptr || a.decay == HY_DECAY_HEAD ? a.dg : p.dg;
    a.dbeta = a.dbeta != nullptr ? p.dbeta : nullptr;
    a.S1 = nullptr;
    if (!p.entering)
        a.S0 = nullptr, a.dS0 = nullptr;
    return a;
}

/* call(recurrence) for all passes: over spans, and where asked for over runs that states enter. */
template <class F> static void level_each_pass(level_pass &p, bool spans, bool entering, F call) {
    const int64_t T = p.w.r.a.T, n_runs = p.w.r.a.n_runs;
    for (int side = spans ? 0 : 1; side < (entering ? 2 : 1); side++)
        for (p.bit = 0; p.bit < p.w.N; p.bit++) {
            p.entering = side == 1;
            p.piece = !p.entering && p.bit < SHORT_SPANS ? (int64_t)SHORTEST_PIECE : p.bit;
            const int64_t most = p.entering ? n_runs : (T >> (p.piece + 1)) + 2 * n_runs;
            p.n_spans = most < T ? most : T; /* one has a token at least */
            level_prepare(p);
            const hy_recur_args a = level_recur_args(p);
            call(&a);
        }
}

template <hy_dtype P> static void level_fwd(const hy_level_recur_args *args) {
    const hy_recur_args &a = args->base;
    level_pass p = level_work_of<P>(args);
    p.d_o = nullptr;
    p.w.r.a.dS1 = nullptr;
    level_begin_outputs(p);
    level_each_pass(p, true, a.S0 != nullptr, [&](const hy_recur_args *r) {
        level_recurrences<P>.recur_fwd(r);
        level_add_outputs(p);
    });
    level_end_outputs(p);
}

template <hy_dtype P> static void level_map_bwd(const hy_level_recur_args *args) {
    level_pass p = level_work_of<P>(args);
    p.v = nullptr;
    level_clear_states(p, args->base.dH);
    level_each_pass(p, false, true, [&](const hy_recur_args *r) { level_recurrences<P>.recur_map_bwd(r); });
}

template <hy_dtype P> static void level_bwd(const hy_level_recur_args *args) {
    const hy_recur_args &a = args->base;
    level_pass p = level_work_of<P>(args);
    level_begin_grads(p);
    if (a.dS0 != nullptr)
        level_clear_states(p, a.dS0);
    level_each_pass(p, true, a.S0 != nullptr || a.dS0 != nullptr, [&](const hy_recur_args *r) {
        level_recurrences<P>.recur_fwd(r);
        level_recurrences<P>.recur_bwd(r);
        level_add_grads(p);
    });
    level_end_grads(p);
}

template <hy_dtype P> static void level_entries(hy_table *table) {
    level_recurrences<P>.dtype = P;
    overlay_recur(&level_recurrences<P>);
    table->level_fwd = level_fwd<P>;
    table->level_map_bwd = level_map_bwd<P>;
    table->level_bwd = level_bwd<P>;
    table->level_work = level_work<P>;
}

void overlay_levels(hy_table *table) {
    HY_OVERLAY(level_entries, table);
}

} // namespace HY_GPU
