/* The walk from chunk to chunk (recur_chunk.cuh), forward and reverse. Columns of the state are independent: a warp keeps 16 of them, turned,
 * as float accumulators, X^T [16,K]; a block is four warps, a stripe, and shares what all columns need, fetched one chunk ahead. Every product
 * has a state or a Z^T on its left, from registers; what is on its right comes from the block's memory. */
#include "kernels/cuda/recur_scan.cuh"

namespace HY_GPU {

/* ---- a chunk forward ---- */

/* out += in Mᵀ, M [CHUNK,CHUNK] lower triangular. */
template <class E> HY_DEVICE void times_turned(float out[CHUNK_TILES][4], const factor<E> in[2], const E *M) {
    HY_UNROLL
    for (int m = 0; m < 2; m++)
        HY_UNROLL
    for (int s = 0; s <= m; s++) {
        factor<E> b;
        factor_right_turned(b, M + 16 * m * pitch_of<E>(CHUNK) + 16 * s, pitch_of<E>(CHUNK));
        factor_product(out + 2 * m, in[s], b);
    }
}

/* out += in M */
template <class E> HY_DEVICE void times(float out[CHUNK_TILES][4], const factor<E> in[2], const E *M) {
    HY_UNROLL
    for (int m = 0; m < 2; m++)
        HY_UNROLL
    for (int s = m; s < 2; s++) {
        factor<E> b;
        factor_right(b, M + 16 * s * pitch_of<E>(CHUNK) + 16 * m, pitch_of<E>(CHUNK));
        factor_product(out + 2 * m, in[s], b);
    }
}

template <class E, int KEYS>
HY_DEVICE void scan_chunk(const scan_of &w, const scan_place &p, const stage<E> &s, float x[KEYS / 8][4], int64_t c) {
    float r[CHUNK_TILES][4] = {}, o[CHUNK_TILES][4] = {}, z[CHUNK_TILES][4] = {};
    factor<E> f[2];
    scan_read<E, KEYS>(s, x, s.k_from_begin, p.delta, r, p.reads, o);
    const bool writes = w.rows != nullptr && w.task != SCAN_INJECT;
    each_token(s, p, r, [&](const chunk_token &t, const E &v, float &each) {
        each = t.beta * ((writes ? value_of(v) : 0.0f) - t.from_begin * each);
    });
    pack_tokens(f, r);
    if (p.delta) {
        times_turned(z, f, s.solve);
        pack_tokens(f, z);
    } else {
        HY_UNROLL
        for (int n = 0; n < CHUNK_TILES; n++)
            HY_UNROLL
        for (int i = 0; i < 4; i++)
            z[n][i] = r[n][i];
    }
    if (p.reads) {
        each_token(s, p, o,
                   [&](const chunk_token &t, const E &, float &each) { each *= (float)w.r.a.scale * t.from_begin; });
        times_turned(o, f, s.read);
        each_token(s, p, o, [&](const chunk_token &, E &row, float &each) {
            set_value(row, w.task == SCAN_INJECT ? value_of(row) + each : each);
        });
        scan_put(w, p, s, c, w.out);
    }
    if (w.task == SCAN_STATES) {
        each_token(s, p, z, [&](const chunk_token &, E &row, float &each) { set_value(row, each); });
        scan_put(w, p, s, c, w.work.z);
    }
    each_token(s, p, z, [&](const chunk_token &t, const E &, float &each) { each *= t.to_end; });
    pack_tokens(f, z);
    scan_decay<E, KEYS>(p, s, x, chunk_len(p.run, c));
    scan_add<E, KEYS>(x, f, s.k);
}

/* ---- a chunk back ---- */

template <class E, int KEYS>
HY_DEVICE void scan_chunk_back(const scan_of &w, const scan_place &p, const stage<E> &s, float x[KEYS / 8][4],
                               int64_t c) {
    float d_o[CHUNK_TILES][4] = {}, dz[CHUNK_TILES][4] = {}, du[CHUNK_TILES][4] = {};
    factor<E> f[2];
    scan_read<E, KEYS>(s, x, s.k, true, dz, false, du);
    each_token(s, p, dz, [&](const chunk_token &t, const E &, float &each) { each *= t.to_end; });
    each_token(s, p, d_o, [&](const chunk_token &, const E &row, float &each) { each = value_of(row); });
    pack_tokens(f, d_o);
    times(dz, f, s.read);
    if (p.delta) {
        pack_tokens(f, dz);
        times(du, f, s.solve);
    } else {
        HY_UNROLL
        for (int n = 0; n < CHUNK_TILES; n++)
            HY_UNROLL
        for (int i = 0; i < 4; i++)
            du[n][i] = dz[n][i];
    }
    scan_decay<E, KEYS>(p, s, x, chunk_len(p.run, c));
    each_token(s, p, d_o,
               [&](const chunk_token &t, const E &, float &each) { each *= (float)w.r.a.scale * t.from_begin; });
    pack_tokens(f, d_o);
    scan_add<E, KEYS>(x, f, s.q);
    if (w.task == SCAN_GRADS) {
        each_token(s, p, du, [&](const chunk_token &, E &row, float &each) { set_value(row, each); });
        scan_put(w, p, s, c, w.work.du);
        each_token(s, p, du, [&](const chunk_token &t, E &row, float &each) { set_value(row, each * t.beta); });
        scan_put(w, p, s, c, w.out);
    }
    if (p.delta) {
        each_token(s, p, du, [&](const chunk_token &t, const E &, float &each) { each *= -t.beta * t.from_begin; });
        pack_tokens(f, du);
        scan_add<E, KEYS>(x, f, s.k_from_begin);
    }
}

/* ---- a run ---- */

/* f(accumulator of x, its element in an array of states) for those of the lane that slot `slot` has. */
template <int KEYS, class X, class F>
HY_DEVICE void each_state(const scan_of &w, const scan_place &p, int64_t slot, X &x, F f) {
    const hy_recur_args &a = w.r.a;
    const int64_t column = p.first + p.warp_column + lane_row(0);
    const int keys = (int)a.K - unknown(lane_column(0)), columns = (int)(w.width - column);
    int64_t at = ((slot * a.HV + p.hv) * a.K + lane_column(0)) * w.width + column;
    HY_UNROLL
    for (int n = 0; n < KEYS / 8; n++) {
        HY_UNROLL
        for (int i = 0; i < 4; i++)
            if (8 * n + (i & 1) < keys && 8 * (i >> 1) < columns)
                f(x[n][i], at + (i & 1) * w.width + 8 * (i >> 1));
        at += 8 * w.width;
    }
}

template <int KEYS> HY_DEVICE void scan_begin(const scan_of &w, const scan_place &p, float x[KEYS / 8][4]) {
    const hy_recur_args &a = w.r.a;
    const bool forward = w.task == SCAN_FWD || w.task == SCAN_INJECT || w.task == SCAN_STATES;
    const void *from = forward ? a.S0 : w.task == SCAN_GRADS ? a.dS1 : nullptr;
    const int64_t slot = forward ? p.run.s0 : p.run.s1;
    const int diagonal = p.first + p.warp_column - lane_column(0);
    HY_UNROLL
    for (int n = 0; n < KEYS / 8; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++)
        x[n][i] = w.task == SCAN_TRANSITION && 8 * n + (i & 1) == diagonal + lane_row(i) ? 1.0f : 0.0f;
    if (from != nullptr && slot >= 0)
        each_state<KEYS>(w, p, slot, x, [&](float &each, int64_t at) { each = stat(from, at); });
}

template <int KEYS> HY_DEVICE void scan_end(const scan_of &w, const scan_place &p, const float x[KEYS / 8][4]) {
    const hy_recur_args &a = w.r.a;
    void *const to = w.task == SCAN_FWD          ? a.S1
                     : w.task == SCAN_MAP        ? a.H_map
                     : w.task == SCAN_TRANSITION ? a.A_map
                     : w.task == SCAN_MAP_BWD    ? a.dH
                     : w.task == SCAN_GRADS      ? a.dS0
                                                 : nullptr;
    const int64_t slot = w.task >= SCAN_MAP_BWD ? p.run.s0 : p.run.s1;
    const bool forgets = w.task == SCAN_TRANSITION && p.run.s0 < 0;
    if (to != nullptr && slot >= 0)
        each_state<KEYS>(w, p, slot, x, [&](float each, int64_t at) { stat_at(to, at) = forgets ? 0.0f : each; });
}

/* Whether nothing is asked of the run. */
HY_DEVICE bool scan_idle(const scan_of &w, const hy_run &run) {
    switch (w.task) {
    case SCAN_INJECT:
    case SCAN_MAP_BWD:
        return run.s0 < 0;
    case SCAN_MAP:
    case SCAN_TRANSITION:
        return run.s1 < 0;
    default:
        return false;
    }
}

/* Chunks fetched ahead: where two do not fit, none. */
template <class E, int KEYS> HY_BOTH int scan_stages() {
    return sizeof(E) == 4 && KEYS == 256 ? 1 : 2;
}

/* Blocks that one multiprocessor is to hold: on sm_90 its shared memory has room for no more (4 of bfloat16's 128 keys, for which registers
 * do not last). */
template <class E, int KEYS>
constexpr int SCAN_BLOCKS = KEYS == 256      ? 2
                            : sizeof(E) == 4 ? (KEYS == 128 ? 2 : 3)
                                             : (KEYS == 128 ? 3 : 4);

template <class E, int KEYS, bool BACK>
HY_KERNEL_BLOCKS(SCAN_THREADS, (SCAN_BLOCKS<E, KEYS>), scan_kernel)
(const scan_of w) {
    const hy_recur_args &a = w.r.a;
    scan_place p;
    const int64_t per_run = a.HV * w.stripes, stages = scan_stages<E, KEYS>();
    p.run = a.runs[block_x() / per_run];
    p.hv = (int)(block_x() % per_run / w.stripes), p.first = (int)(block_x() % w.stripes) * STRIPE;
    p.warp_column = 16 * warp_index();
    p.delta = a.rule == HY_RULE_DELTA, p.vector = a.decay == HY_DECAY_VECTOR;
    p.reads = BACK || w.task == SCAN_FWD || w.task == SCAN_INJECT;
    if (scan_idle(w, p.run))
        return;
    const bool works = p.first + p.warp_column < w.width;
    const int64_t n = (p.run.len + CHUNK - 1) / CHUNK;
    float x[KEYS / 8][4];
    scan_begin<KEYS>(w, p, x);
    const auto chunk = [&](int64_t i) { return BACK ? n - 1 - i : i; };
    const auto fetch = [&](int64_t i) {
        if (i < n)
            scan_fetch<E>(w, p, stage_of<E>(KEYS, p.vector, (int)(i % stages)), KEYS, chunk(i));
    };
    fetch(0);
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = chunk(i), edge = p.run.begin + (BACK ? c + 1 : c) * CHUNK;
        if (stages == 2)
            fetch(i + 1);
        if (stages == 2 && i + 1 < n)
            copy_wait<1>();
        else
            copy_wait<0>();
        barrier();
        const stage<E> s = stage_of<E>(KEYS, p.vector, (int)(i % stages));
        if (works && i > 0 && (w.task == SCAN_STATES || w.task == SCAN_GRADS))
            scan_keep<E, KEYS>(w, p, x, edge, BACK ? w.work.grads : w.work.states);
        if (works) {
            if constexpr (BACK)
                scan_chunk_back<E, KEYS>(w, p, s, x, c);
            else
                scan_chunk<E, KEYS>(w, p, s, x, c);
        }
        barrier(); /* before this stage is filled again */
        if (stages == 1)
            fetch(i + 1);
    }
    scan_end<KEYS>(w, p, x);
}

/* ---- launches ---- */

template <class E, int KEYS> static void scan(const scan_of &w) {
    const size_t bytes = stage_bytes<E>(KEYS, w.r.a.decay == HY_DECAY_VECTOR) * (size_t)scan_stages<E, KEYS>();
    const grid blocks(w.r.a.n_runs * w.r.a.HV * w.stripes);
    if (w.task >= SCAN_MAP_BWD)
        HY_LAUNCH((scan_kernel<E, KEYS, true>), blocks, SCAN_THREADS, bytes, w);
    else
        HY_LAUNCH((scan_kernel<E, KEYS, false>), blocks, SCAN_THREADS, bytes, w);
}

template <class E> static void scan_of_keys(const scan_of &w) {
    if (w.r.a.K <= 64)
        scan<E, 64>(w);
    else if (w.r.a.K <= 128)
        scan<E, 128>(w);
    else
        scan<E, CHUNK_KEYS_MAX>(w);
}

void recur_scan(const recur_of &args, scan_task task) {
    const hy_recur_args &a = args.a;
    const void *rows[] = {a.v, a.o, a.v, nullptr, a.v, a.d_o, a.d_o};
    void *out[] = {a.o, a.o, nullptr, nullptr, nullptr, nullptr, a.dv};
    const int64_t width = task == SCAN_TRANSITION ? a.K : a.V;
    const scan_of w = {
        args, task, width, (width + STRIPE - 1) / STRIPE, rows[task], out[task], chunk_work_of(a, args.half)};
    if (args.half)
        scan_of_keys<uint16_t>(w);
    else
        scan_of_keys<float>(w);
}

} // namespace HY_GPU
