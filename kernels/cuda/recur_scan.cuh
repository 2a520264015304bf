/* What a block of the walk from chunk to chunk (recur_scan.cu) has of a chunk in its memory, and what a warp has of the state: 16 columns,
 * turned, as float accumulators X^T [16,K]. */
#ifndef HY_KERNELS_CUDA_RECUR_SCAN_CUH
#define HY_KERNELS_CUDA_RECUR_SCAN_CUH

#include "kernels/cuda/recur_chunk.cuh"

namespace HY_GPU {

enum { SCAN_WARPS = 4, SCAN_THREADS = 32 * SCAN_WARPS, STRIPE = 16 * SCAN_WARPS };

struct scan_of {
    recur_of r;
    scan_task task;
    int64_t width, stripes; /* columns of a state, stripes of them */
    const void *rows;       /* [T,HV,V] what is fetched by columns: v, d_o, or o that is added to; or NULL */
    void *out;              /* [T,HV,V] o, dv or NULL */
    chunk_work work;
};

/* Of a chunk in the block's memory. */
template <class E> struct stage {
    E *k, *q, *rows, *solve, *read; /* a decay per key: e^{G_C−G} K, e^G Q */
    E *k_from_begin;                /* e^G K; k, where tokens have the decays */
    chunk_token *tokens;
    float *decays; /* a decay per key: [keys] e^{G_C} */
};

template <class E> HY_BOTH size_t stage_bytes(int keys, bool vector) {
    const int wide = pitch_of<E>(keys);
    const size_t all = sizeof(E) * (size_t)(2 * wide + pitch_of<E>(STRIPE) + 2 * pitch_of<E>(CHUNK));
    const size_t own = vector ? CHUNK * sizeof(E) * (size_t)wide + sizeof(float) * (size_t)keys : 0;
    return CHUNK * (sizeof(chunk_token) + all) + own;
}

template <class E> HY_DEVICE stage<E> stage_of(int keys, bool vector, int number) {
    stage<E> s;
    unsigned char *at = shared_at<unsigned char>(stage_bytes<E>(keys, vector) * (size_t)number);
    s.tokens = reinterpret_cast<chunk_token *>(at);
    s.k = reinterpret_cast<E *>(at + CHUNK * sizeof(chunk_token));
    s.q = s.k + CHUNK * pitch_of<E>(keys);
    s.rows = s.q + CHUNK * pitch_of<E>(keys);
    s.solve = s.rows + CHUNK * pitch_of<E>(STRIPE);
    s.read = s.solve + CHUNK * pitch_of<E>(CHUNK);
    s.k_from_begin = vector ? s.read + CHUNK * pitch_of<E>(CHUNK) : s.k;
    s.decays = reinterpret_cast<float *>(s.k_from_begin + CHUNK * pitch_of<E>(keys));
    return s;
}

/* What stays the same for a block. */
struct scan_place {
    hy_run run;
    int hv, first;     /* first column of the stripe */
    int warp_column;   /* of the warp's columns in the stripe */
    bool delta, reads; /* reads: q and P */
    bool vector;       /* a decay per key */
};

/* e^{G_C} of a chunk: whole ones have it in the work, the last of a run is added up. */
template <class E>
HY_DEVICE void scan_fetch_decays(const scan_of &w, const scan_place &p, const stage<E> &s, int keys, int64_t t,
                                 int len) {
    const hy_recur_args &a = w.r.a;
    if (len == CHUNK) {
        const int64_t pitch = ends_pitch(a);
        const float *from = w.work.ends + (t / CHUNK * a.HV + p.hv) * pitch;
        for (int i = 4 * thread_index(); i < keys; i += 4 * SCAN_THREADS)
            copy_async(s.decays + i, i < pitch ? from + i : from, i < pitch ? 16 : 0);
        return;
    }
    for (int key = thread_index(); key < keys; key += SCAN_THREADS) {
        float sum = 0;
        for (int i = 0; i < len && key < a.K; i++)
            sum += log_decay(a, t + i, p.hv, key);
        s.decays[key] = exp_fast(sum);
    }
}

/* k and q, with their decays if they have some of their own. */
template <class E>
HY_DEVICE void scan_fetch_keys(const scan_of &w, const scan_place &p, const stage<E> &s, int keys, int64_t t, int len) {
    const hy_recur_args &a = w.r.a;
    const int i = unknown(thread_index());
    const auto fetch = [&](E *to, const void *from, int64_t row, int64_t stride) {
        tile_fetch(to, keys, static_cast<const E *>(from) + row, stride, len, a.K, i, SCAN_THREADS);
    };
    const int64_t own = (t * a.HV + p.hv) * a.K, row = key_row(a, t, p.hv);
    if (p.vector) {
        fetch(s.k, w.work.keys_to_end, own, a.HV * a.K);
        if (p.delta)
            fetch(s.k_from_begin, w.work.keys_from_begin, own, a.HV * a.K);
        if (p.reads)
            fetch(s.q, w.work.queries, own, a.HV * a.K);
        scan_fetch_decays(w, p, s, keys, t, len);
        return;
    }
    fetch(s.k, a.k, row, a.H * a.K);
    if (p.reads)
        fetch(s.q, a.q, row, a.H * a.K);
}

template <class E>
HY_DEVICE void scan_fetch(const scan_of &w, const scan_place &p, const stage<E> &s, int keys, int64_t c) {
    const hy_recur_args &a = w.r.a;
    const int i = unknown(thread_index()), len = chunk_len(p.run, c);
    const int64_t t = p.run.begin + c * CHUNK, token = t * a.HV + p.hv;
    const auto elements = [](const void *at, int64_t n) { return static_cast<const E *>(at) + n; };
    scan_fetch_keys(w, p, s, keys, t, len);
    if (p.reads)
        tile_fetch(s.read, CHUNK, elements(w.work.read, token * CHUNK), a.HV * CHUNK, len, CHUNK, i, SCAN_THREADS);
    if (p.delta)
        tile_fetch(s.solve, CHUNK, elements(w.work.solve, token * CHUNK), a.HV * CHUNK, len, CHUNK, i, SCAN_THREADS);
    if (w.rows != nullptr)
        tile_fetch(s.rows, STRIPE, elements(w.rows, token * a.V + p.first), a.HV * a.V, len, a.V - p.first, i,
                   SCAN_THREADS);
    if (i < CHUNK)
        copy_async(s.tokens + i, w.work.tokens + (i < len ? token + i * a.HV : token), i < len ? 16 : 0);
    copy_commit();
}

/* ---- a lane's elements: rows of accumulators are columns of the state ---- */

HY_DEVICE int lane_row(int i) {
    return (lane_index() >> 2) + 8 * (i >> 1);
}
HY_DEVICE int lane_column(int i) {
    return 2 * (lane_index() & 3) + (i & 1);
}

/* f(token, its place in the warp's columns of the fetched rows, accumulator) for all elements of Z^T [16,CHUNK]. */
template <class E, class F>
HY_DEVICE void each_token(const stage<E> &s, const scan_place &p, float z[CHUNK_TILES][4], F f) {
    const int first = unknown(lane_column(0));
    const chunk_token *const tokens = s.tokens + first;
    E *const rows = s.rows + first * pitch_of<E>(STRIPE) + p.warp_column + lane_row(0);
    HY_UNROLL
    for (int n = 0; n < CHUNK_TILES; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++) {
        const int token = 8 * n + (i & 1);
        f(tokens[token], rows[token * pitch_of<E>(STRIPE) + 8 * (i >> 1)], z[n][i]);
    }
}

template <class E> HY_DEVICE void pack_tokens(factor<E> x[2], const float z[CHUNK_TILES][4]) {
    factor_pack(x[0], z);
    factor_pack(x[1], z + 2);
}

/* The warp's columns of the fetched rows, by now results, to [T,HV,V]. */
template <class E>
HY_DEVICE void scan_put(const scan_of &w, const scan_place &p, const stage<E> &s, int64_t c, void *to) {
    const hy_recur_args &a = w.r.a;
    const int per = 16 / (int)sizeof(E), pieces = 16 / per, len = chunk_len(p.run, c);
    const array out = {to, sizeof(E) == 2};
    warp_barrier();
    HY_ROLLED
    for (int i = lane_index(); i < len * pieces; i += 32) {
        const int token = i / pieces, column = p.warp_column + i % pieces * per;
        const int64_t rest = a.V - p.first - column;
        const int64_t at = ((p.run.begin + c * CHUNK + token) * a.HV + p.hv) * a.V + p.first + column;
        const E *x = s.rows + token * pitch_of<E>(STRIPE) + column;
        if (rest >= per && is_aligned(out, at)) {
            uint32_t bits[4];
            load16(x, bits);
            store16(static_cast<E *>(to) + at, bits);
        } else {
            for (int e = 0; e < per && e < rest; e++)
                static_cast<E *>(to)[at + e] = x[e];
        }
    }
    warp_barrier();
}

/* The warp's X to states of the work, [V,K] of a head. */
template <class E, int KEYS>
HY_DEVICE void scan_keep(const scan_of &w, const scan_place &p, const float x[KEYS / 8][4], int64_t edge, void *to) {
    const hy_recur_args &a = w.r.a;
    E *const state = static_cast<E *>(to) + (edge / CHUNK * a.HV + p.hv) * a.V * a.K;
    HY_UNROLL
    for (int i = 0; i < 4; i += 2) {
        const int64_t j = p.first + p.warp_column + lane_row(i);
        const int key = unknown(lane_column(i)), rest = (int)a.K - key;
        if (j >= a.V)
            continue;
        E *const row = state + j * a.K + key;
        HY_UNROLL
        for (int n = 0; n < KEYS / 8; n++)
            set_pair(row + 8 * n, rest - 8 * n, x[n][i], x[n][i + 1]);
    }
}

/* x += A B for B [CHUNK,K] in the block's memory. */
template <class E, int KEYS> HY_DEVICE void scan_add(float x[KEYS / 8][4], const factor<E> a[2], const E *b) {
    HY_UNROLL
    for (int n = 0; n < KEYS / 16; n++)
        HY_UNROLL
    for (int s = 0; s < 2; s++) {
        factor<E> f;
        factor_right(f, b + 16 * s * pitch_of<E>(KEYS) + 16 * n, pitch_of<E>(KEYS));
        factor_product(x + 2 * n, a[s], f);
    }
}

/* x times e^{G_C} of a chunk of `len` tokens. */
template <class E, int KEYS>
HY_DEVICE void scan_decay(const scan_place &p, const stage<E> &s, float x[KEYS / 8][4], int len) {
    const float all = s.tokens[len - 1].from_begin;
    HY_UNROLL
    for (int n = 0; n < KEYS / 8; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++)
        x[n][i] *= all;
    if (!p.vector)
        return;
    HY_UNROLL
    for (int n = 0; n < KEYS / 8; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++)
        x[n][i] *= s.decays[8 * n + lane_column(i)];
}

/* z += X kᵀ, o += X Qᵀ, [16,CHUNK] each, where asked for. */
template <class E, int KEYS>
HY_DEVICE void scan_read(const stage<E> &s, const float x[KEYS / 8][4], const E *k, bool keys, float z[CHUNK_TILES][4],
                         bool queries, float o[CHUNK_TILES][4]) {
    HY_UNROLL
    for (int n = 0; n < KEYS / 16; n++) {
        factor<E> a, b;
        factor_pack(a, x + 2 * n);
        HY_UNROLL
        for (int m = 0; m < 2; m++) {
            const int at = 16 * m * pitch_of<E>(KEYS) + 16 * n;
            if (keys) {
                factor_right_turned(b, k + at, pitch_of<E>(KEYS));
                factor_product(z + 2 * m, a, b);
            }
            if (queries) {
                factor_right_turned(b, s.q + at, pitch_of<E>(KEYS));
                factor_product(o + 2 * m, a, b);
            }
        }
    }
}

} // namespace HY_GPU

#endif
