/* What chunks of a recurrence need before anything is known of their states: T, P and decays (recur_chunk.cuh). A block, one warp, is a
 * chunk and a value head. T by substitution, a lane per column, in float and without products of powers: it is exact to rounding however
 * keys correlate. */
#include "kernels/cuda/recur_prep.cuh"

namespace HY_GPU {

HY_KERNEL(32, chunk_table_kernel)(const prep_of w) {
    const hy_recur_args &a = w.r.a;
    int64_t at = 0;
    for (int64_t r = 0; r < a.n_runs; r++) {
        const hy_run run = a.runs[r];
        const int64_t n = (run.len + CHUNK - 1) / CHUNK;
        for (int64_t c = lane_index(); c < n; c += 32)
            w.chunks[at + c] = {run.begin + c * CHUNK, chunk_len(run, c), c == 0 ? run.s0 : (int64_t)PLACE_INSIDE,
                                c == n - 1 ? run.s1 : (int64_t)PLACE_INSIDE};
        at += n;
    }
    for (int64_t c = at + lane_index(); c < w.n_chunks; c += 32)
        w.chunks[c] = {0, 0, 0, 0};
}

/* out = X Yᵀ, all [CHUNK][·] in the block's memory. */
template <class E> HY_DEVICE void prep_product(float *out, const E *x, const E *y, int keys) {
    const int g = lane_index() >> 2, t = lane_index() & 3, pitch = pitch_of<E>(keys);
    float c[2][CHUNK_TILES][4] = {};
    HY_ROLLED
    for (int s = 0; s < keys; s += 16) {
        factor<E> a[2];
        HY_UNROLL
        for (int m = 0; m < 2; m++)
            factor_left(a[m], x + 16 * m * pitch + s, pitch);
        HY_UNROLL
        for (int n = 0; n < 2; n++) {
            factor<E> b;
            factor_right_turned(b, y + 16 * n * pitch + s, pitch);
            HY_UNROLL
            for (int m = 0; m < 2; m++)
                factor_product(c[m] + 2 * n, a[m], b);
        }
    }
    HY_UNROLL
    for (int m = 0; m < 2; m++)
        HY_UNROLL
    for (int n = 0; n < CHUNK_TILES; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++)
        out[(16 * m + g + 8 * (i >> 1)) * SQUARE_PITCH + 8 * n + 2 * t + (i & 1)] = c[m][n][i];
}

template <class E> HY_KERNEL(32, prep_kernel)(const prep_of w) {
    const hy_recur_args &a = w.r.a;
    const chunk_place c = w.chunks[block_x() / a.HV];
    const int64_t hv = block_x() % a.HV;
    const int j = lane_index(), len = (int)c.len, pitch = pitch_of<E>(w.keys);
    if (len == 0)
        return;
    float *squares = shared_at<float>(0), *kk = squares, *qk = squares + CHUNK * SQUARE_PITCH;
    float *decays = qk + CHUNK * SQUARE_PITCH, *betas = decays + CHUNK;
    E *k = reinterpret_cast<E *>(betas + CHUNK), *q = k + CHUNK * pitch;
    const int64_t row = key_row(a, c.begin, hv);
    tile_fetch(k, w.keys, static_cast<const E *>(a.k) + row, a.H * a.K, len, a.K, j, 32);
    if (w.reads)
        tile_fetch(q, w.keys, static_cast<const E *>(a.q) + row, a.H * a.K, len, a.K, j, 32);
    copy_commit();
    decays[j] = j < len ? log_decay(a, c.begin + j, hv, 0) : 0.0f;
    betas[j] = j < len ? beta_get(a, c.begin + j, hv) : 0.0f;
    copy_wait<0>();
    warp_barrier();
    const bool delta = a.rule == HY_RULE_DELTA;
    if (delta)
        prep_product(kk, k, k, w.keys);
    if (w.reads)
        prep_product(qk, q, k, w.keys);
    warp_barrier();

    /* down column j: sums of decays from token j on, without differences of sums */
    const chunk_work out = chunk_work_of(a, w.r.half);
    const int64_t at = (c.begin * a.HV + hv) * CHUNK + j;
    float from_begin = 0, since = 0;
    HY_ROLLED
    for (int i = 0; i < CHUNK; i++) {
        from_begin += i <= j ? decays[i] : 0.0f;
        since += i > j ? decays[i] : 0.0f;
        const float e = i < j ? 0.0f : exp_fast(since);
        if (delta)
            kk[i * SQUARE_PITCH + j] = i > j ? betas[i] * e * kk[i * SQUARE_PITCH + j] : 0.0f;
        if (w.reads && i < len)
            set_value(static_cast<E *>(out.read)[at + i * a.HV * CHUNK],
                      i < j ? 0.0f : (float)a.scale * e * qk[i * SQUARE_PITCH + j]);
    }
    if (j < len)
        out.tokens[(c.begin + j) * a.HV + hv] = {exp_fast(from_begin), exp_fast(since), betas[j], 0};
    warp_barrier();
    if (delta)
        prep_solve(static_cast<E *>(out.solve) + at, a.HV * CHUNK, len, kk, j);
}

template <class E> static void prep(const prep_of &w) {
    const size_t bytes = (size_t)(2 * CHUNK * SQUARE_PITCH + 2 * CHUNK) * 4 +
                         (size_t)(w.reads ? 2 : 1) * CHUNK * pitch_of<E>(w.keys) * sizeof(E);
    HY_LAUNCH(prep_kernel<E>, grid(w.n_chunks * w.r.a.HV), 32, bytes, w);
}

const chunk_place *recur_prep(const recur_of &args, bool reads) {
    const int64_t n = chunks_at_most(args.a);
    chunk_place *chunks = static_cast<chunk_place *>(workspace((size_t)n * sizeof(chunk_place)));
    const prep_of w = {args, padded(args.a.K, 16), reads, chunks, n};
    HY_LAUNCH(chunk_table_kernel, grid(1), 32, 0, w);
    if (args.a.decay == HY_DECAY_VECTOR)
        recur_prep_vector(w);
    else if (args.half)
        prep<uint16_t>(w);
    else
        prep<float>(w);
    return chunks;
}

} // namespace HY_GPU
