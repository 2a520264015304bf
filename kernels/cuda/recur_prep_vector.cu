/* recur_prep.cu where every key has decays of its own. A block is a chunk and a value head, a warp 32 of its keys, a lane one of them: levels
 * (recur_vector.cuh) need no other warp, only their sums over all keys do. */
#include "kernels/cuda/recur_prep.cuh"
#include "kernels/cuda/recur_vector.cuh"

namespace HY_GPU {

enum { WARP_KEYS = 32 };

/* A warp's memory, all [CHUNK][WARP_KEYS]: keys and queries as they are and times a level's weights. Then, in the same place, its sums. */
template <class E> struct prep_slice {
    E *k, *q, *k_by, *q_by;
    float *kk, *qk; /* [CHUNK][SQUARE_PITCH] */
};

template <class E> HY_BOTH size_t prep_slice_bytes() {
    return 4 * CHUNK * sizeof(E) * (size_t)pitch_of<E>(WARP_KEYS);
}
static_assert(2 * SQUARE_PITCH * sizeof(float) <= 4 * sizeof(uint16_t) * (WARP_KEYS + 8), "sums lie in a slice");

template <class E> HY_DEVICE prep_slice<E> prep_slice_of(int warp) {
    unsigned char *at = shared_at<unsigned char>(prep_slice_bytes<E>() * (size_t)warp);
    prep_slice<E> s;
    s.k = reinterpret_cast<E *>(at);
    s.q = s.k + CHUNK * pitch_of<E>(WARP_KEYS);
    s.k_by = s.q + CHUNK * pitch_of<E>(WARP_KEYS);
    s.q_by = s.k_by + CHUNK * pitch_of<E>(WARP_KEYS);
    s.kk = reinterpret_cast<float *>(at);
    s.qk = s.kk + CHUNK * SQUARE_PITCH;
    return s;
}

/* A lane's part of a lower triangular [CHUNK,CHUNK] in tiles of 16×16: (0, 0), (1, 1), (1, 0). */
struct triangle {
    float c[3][2][4];
};
HY_DEVICE int triangle_row(int tile) {
    return tile > 0 ? 16 : 0;
}
HY_DEVICE int triangle_column(int tile) {
    return tile == 1 ? 16 : 0;
}

/* f(row, column, element) for the lane's of a tile. */
template <class F> HY_DEVICE void triangle_each(int tile, float c[2][4], F f) {
    HY_UNROLL
    for (int n = 0; n < 2; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++)
        f(triangle_row(tile) + (lane_index() >> 2) + 8 * (i >> 1),
          triangle_column(tile) + 8 * n + 2 * (lane_index() & 3) + (i & 1), c[n][i]);
}

/* sum += what keep(row, column) keeps of X Yᵀ, over the warp's keys. */
template <class E, class F> HY_DEVICE void triangle_add(float sum[2][4], int tile, const E *x, const E *y, F keep) {
    const int pitch = pitch_of<E>(WARP_KEYS);
    float c[2][4] = {};
    HY_UNROLL
    for (int s = 0; s < WARP_KEYS; s += 16) {
        factor<E> a, b;
        factor_left(a, x + triangle_row(tile) * pitch + s, pitch);
        factor_right_turned(b, y + triangle_column(tile) * pitch + s, pitch);
        factor_product(c, a, b);
    }
    triangle_each(tile, c, [&](int row, int column, float &x) { x = keep(row, column) ? x : 0.0f; });
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        sum[i >> 2][i & 3] += c[i >> 2][i & 3];
}

struct prep_lane {
    chunk_place c;
    int64_t hv, key;
    float decays[CHUNK];
};

/* Keys and queries with the decays from the chunk's begin and to its end, and what the chunk decays by, to the work. */
template <class E>
HY_DEVICE void prep_carry(const prep_of &w, const prep_lane &p, const prep_slice<E> &s, const chunk_work &out) {
    const hy_recur_args &a = w.r.a;
    const int pitch = pitch_of<E>(WARP_KEYS), lane = lane_index(), len = p.key < a.K ? (int)p.c.len : 0;
    const int64_t at = (p.c.begin * a.HV + p.hv) * a.K + p.key, stride = a.HV * a.K;
    const auto decay = [&](int i) { return p.decays[i]; };
    const auto put_scaled = [&](void *to, const E *rows, int i, float by) {
        if (i < len)
            set_value(static_cast<E *>(to)[at + i * stride], value_of(rows[i * pitch + lane]) * by);
    };
    level_weights<CHUNK>(LEVEL_TO_END, decay, false, [&](int i, float by) { put_scaled(out.keys_to_end, s.k, i, by); });
    level_weights<CHUNK>(LEVEL_FROM_BEGIN, decay, a.exclusive != 0, [&](int i, float by) {
        if (a.rule == HY_RULE_DELTA)
            put_scaled(out.keys_from_begin, s.k, i, by);
        if (w.reads)
            put_scaled(out.queries, s.q, i, by);
    });
    float all = 1;
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++)
        all *= p.decays[i];
    if (p.c.len == CHUNK && p.key < ends_pitch(a))
        out.ends[(p.c.begin / CHUNK * a.HV + p.hv) * ends_pitch(a) + p.key] = all;
}

/* The lane's parts of tril(K Kᵀ E, −1) and tril(Q Kᵀ E), summed over the warp's keys. */
template <class E>
HY_DEVICE void prep_levels(const prep_of &w, const prep_lane &p, const prep_slice<E> &s, triangle &kk, triangle &qk) {
    const hy_recur_args &a = w.r.a;
    const int pitch = pitch_of<E>(WARP_KEYS);
    HY_ROLLED
    for (int h = LEVEL_FIRST; h > 0; h /= 2) {
        const auto decay = [&](int i) { return p.decays[i]; };
        level_weights<CHUNK>(h, decay, a.exclusive != 0, [&](int i, float by) {
            const int at = i * pitch + lane_index();
            set_value(s.k_by[at], value_of(s.k[at]) * by);
            if (w.reads)
                set_value(s.q_by[at], value_of(s.q[at]) * by);
        });
        warp_barrier();
        const auto has = [&](int i, int j) { return level_has(h, i, j); };
        HY_UNROLL
        for (int tile = 0; tile < 3; tile++) {
            if ((tile == 2) != (h == LEVEL_FIRST))
                continue;
            if (a.rule == HY_RULE_DELTA)
                triangle_add(kk.c[tile], tile, s.k_by, s.k_by, has);
            if (w.reads)
                triangle_add(qk.c[tile], tile, s.q_by, s.k_by, has);
        }
        warp_barrier();
    }
    HY_UNROLL
    for (int tile = 0; tile < 2; tile++)
        if (w.reads && !a.exclusive)
            triangle_add(qk.c[tile], tile, s.q, s.k, [](int i, int j) { return i == j; });
}

/* Element `at` of the first warp's matrix: the sum of those of all warps. */
template <class E> HY_DEVICE float prep_sum(const float *square, int row, int column) {
    float sum = 0;
    for (int n = 0; n < block_threads() / 32; n++)
        sum += square[(size_t)n * (prep_slice_bytes<E>() / sizeof(float)) + (size_t)(row * SQUARE_PITCH + column)];
    return sum;
}

template <class E> HY_KERNEL(CHUNK_KEYS_MAX, prep_vector_kernel)(const prep_of w) {
    const hy_recur_args &a = w.r.a;
    prep_lane p;
    p.c = w.chunks[block_x() / a.HV], p.hv = block_x() % a.HV, p.key = thread_index();
    if (p.c.len == 0)
        return;
    const int first = WARP_KEYS * warp_index(), lane = lane_index(), len = (int)p.c.len;
    const prep_slice<E> s = prep_slice_of<E>(warp_index());
    const bool delta = a.rule == HY_RULE_DELTA;
    const int64_t row = key_row(a, p.c.begin, p.hv) + first;
    tile_fetch(s.k, WARP_KEYS, static_cast<const E *>(a.k) + row, a.H * a.K, len, a.K - first, lane, 32);
    if (w.reads)
        tile_fetch(s.q, WARP_KEYS, static_cast<const E *>(a.q) + row, a.H * a.K, len, a.K - first, lane, 32);
    copy_commit();
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++)
        p.decays[i] = chunk_decay(a, p.c, p.hv, p.key, i);
    copy_wait<0>();
    warp_barrier();

    const chunk_work out = chunk_work_of(a, w.r.half);
    triangle kk = {}, qk = {};
    prep_carry(w, p, s, out);
    prep_levels(w, p, s, kk, qk);
    warp_barrier();
    HY_UNROLL
    for (int tile = 0; tile < 3; tile++) {
        triangle_each(tile, kk.c[tile], [&](int i, int j, float x) { s.kk[i * SQUARE_PITCH + j] = x; });
        triangle_each(tile, qk.c[tile], [&](int i, int j, float x) { s.qk[i * SQUARE_PITCH + j] = x; });
    }
    barrier();

    const prep_slice<E> all = prep_slice_of<E>(0);
    const int64_t at = (p.c.begin * a.HV + p.hv) * CHUNK;
    HY_ROLLED
    for (int n = thread_index(); n < CHUNK * CHUNK; n += block_threads()) {
        const int i = n / CHUNK, j = n % CHUNK;
        if (w.reads && i < len)
            set_value(static_cast<E *>(out.read)[at + i * a.HV * CHUNK + j],
                      i < j ? 0.0f : (float)a.scale * prep_sum<E>(all.qk, i, j));
        if (delta)
            all.kk[i * SQUARE_PITCH + j] =
                i > j && i < len ? beta_get(a, p.c.begin + i, p.hv) * prep_sum<E>(all.kk, i, j) : 0.0f;
    }
    if (thread_index() < len)
        out.tokens[(p.c.begin + thread_index()) * a.HV + p.hv] = {1, 1, beta_get(a, p.c.begin + thread_index(), p.hv),
                                                                  0};
    barrier();
    if (delta && warp_index() == 0)
        prep_solve(static_cast<E *>(out.solve) + at + lane, a.HV * CHUNK, len, all.kk, lane);
}

void recur_prep_vector(const prep_of &w) {
    const int warps = padded(w.r.a.K, WARP_KEYS) / WARP_KEYS;
    const grid blocks(w.n_chunks * w.r.a.HV);
    if (w.r.half)
        HY_LAUNCH(prep_vector_kernel<uint16_t>, blocks, 32 * warps, prep_slice_bytes<uint16_t>() * (size_t)warps, w);
    else
        HY_LAUNCH(prep_vector_kernel<float>, blocks, 32 * warps, prep_slice_bytes<float>() * (size_t)warps, w);
}

} // namespace HY_GPU
