/* Softmax attention, backward to the queries: dq_i += scale·Σ_j p_ij (do_i·v_j − delta_i) k_j with p = e^{s − lse}. A warp has 16·M queries and
 * sums their gradients in its registers; two tiles of keys and values in turn are in the block's memory, so that one comes while the other
 * is used. */
#include "kernels/cuda/attn.cuh"

namespace HY_GPU {

/* Of the block's queries, in its memory: log-sum-exp to base 2, delta. */
struct query_numbers {
    float *lse, *delta;
};

HY_DEVICE void read_numbers(const query_numbers &to, const attn_of &a, const query_tile &t) {
    for (int i = thread_index(); i < t.rows.n; i += block_threads()) {
        const int64_t at = (t.rows.row + i) * a.a.H + t.head;
        to.lse[i] = static_cast<const float *>(a.a.lse)[at] * log2e();
        to.delta[i] = static_cast<const float *>(a.a.delta)[at];
    }
}

/* s: scores, becomes p(dp − delta), 0 where a query does not see a key. */
template <int M, int K>
HY_DEVICE void differentiate(sums<M, K> &s, const sums<M, K> &dp, const query_numbers &rows,
                             const lane_queries<M> &queries, int j, float scale) {
    const bool all = lane_queries<M>::sees_all(queries, j, 8 * K);
    HY_UNROLL
    for (int mh = 0; mh < 2 * M; mh++) {
        const int m = mh / 2, h = mh % 2;
        const float lse = rows.lse[lane_row<M>(m, h)], delta = rows.delta[lane_row<M>(m, h)];
        const key_range seen = queries.seen[m][h];
        HY_UNROLL
        for (int ni = 0; ni < 2 * K; ni++) {
            const int n = ni / 2, i = 2 * h + ni % 2, key = j + lane_column(n, i);
            const float p = exp2_fast(s.x[m][n][i] * scale - lse), ds = p * (dp.x[m][n][i] - delta);
            s.x[m][n][i] = all || (key >= seen.from && key < seen.to) ? ds : 0.0f;
        }
    }
}

/* The block's memory: numbers, queries, their output's gradients, two tiles of keys and values. */
HY_BOTH size_t bwd_queries_bytes(const attn_of &a, int keys, size_t cell) {
    return 2 * (size_t)a.rows * sizeof(float) + (size_t)(a.rows + 2 * keys) * (size_t)(a.q.ld + a.v.ld) * cell;
}

template <class T> HY_DEVICE T *queries_at(const attn_of &a) {
    return shared_at<T>(2 * (size_t)a.rows * sizeof(float));
}
template <class T> HY_DEVICE T *gradients_at(const attn_of &a) {
    return queries_at<T>(a) + a.rows * a.q.ld;
}
template <class T> HY_DEVICE T *keys_at(const attn_of &a, int stage, int keys) {
    return queries_at<T>(a) + (a.rows + stage * keys) * (a.q.ld + a.v.ld);
}

template <class P, int M, int N, int K>
HY_DEVICE void add_keys(const attn_of &a, const query_tile &t, const hy_attn_pair &pair, const query_numbers &rows,
                        const lane_queries<M> &queries, sums<M, N> &dq) {
    typedef typename P::cell cell;
    enum { KEYS = 8 * K };
    const key_range all = keys_seen_by(pair, a.a.lo, t.rows);
    const int first = 16 * M * warp_index();
    if (all.from >= all.to)
        return;
    const auto load = [&](int j, int stage) {
        const row_range r = tile_rows(pair.k + j, all.to - j, 0, KEYS);
        cell *const to = keys_at<cell>(a, stage, KEYS);
        load_head(to, KEYS, a, a.a.k, a.k, r, t.key_head);
        load_head(to + KEYS * a.k.ld, KEYS, a, a.a.v, a.v, r, t.key_head);
        copy_commit();
    };
    load(all.from, 0);
    for (int j = all.from, stage = 0; j < all.to; j += KEYS, stage ^= 1) {
        copy_wait<0>();
        barrier(); /* this tile is there, and nobody reads the other any more */
        if (j + KEYS < all.to)
            load(j + KEYS, stage ^ 1);
        if (lane_queries<M>::warp_sees(queries, j, KEYS)) {
            const cell *const k = keys_at<cell>(a, stage, KEYS), *const v = k + KEYS * a.k.ld;
            sums<M, K> s, dp;
            multiply_rows<P, M, K>(s, queries_at<cell>(a) + first * a.q.ld, k, a.q.ld, a.q.cols);
            multiply_rows<P, M, K>(dp, gradients_at<cell>(a) + first * a.o.ld, v, a.o.ld, a.o.cols);
            differentiate(s, dp, rows, queries, j, a.scale);
            multiply_sums<P>(dq, s, k, a.k.ld, a.k.cols);
        }
    }
    barrier();
}

template <int M, int N>
HY_DEVICE void add_dq(const attn_of &a, const query_tile &t, const lane_queries<M> &queries, const sums<M, N> &dq) {
    HY_UNROLL
    for (int m = 0; m < M; m++)
        HY_UNROLL
    for (int n = 0; n < N; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++) {
        const int h = i >> 1, c = lane_column(n, i);
        const int64_t row = (t.rows.row + lane_row<M>(m, h)) * a.a.H + t.head;
        if (lane_queries<M>::is_own_row(queries, m, h) && c < a.q.width)
            static_cast<float *>(a.a.dq)[row * a.a.D + c] += dq.x[m][n][i] * (float)a.a.scale;
    }
}

/* P: product, M: tiles of 16 queries of a warp, N: tiles of 8 channels of keys, K: of 8 keys. */
template <class P, int M, int N, int K> HY_KERNEL(ATTN_THREADS, attn_bwd_queries_kernel)(const attn_of a) {
    typedef typename P::cell cell;
    const query_tile t = query_tile_of_block(a, a.rows);
    if (t.rows.n == 0)
        return;
    const query_numbers rows = {shared_at<float>(0), shared_at<float>((size_t)a.rows * sizeof(float))};
    lane_queries<M> queries;
    sums<M, N> dq;
    sums<M, N>::clear(dq);
    lane_queries<M>::find(queries, a, t);
    read_numbers(rows, a, t);
    load_head(queries_at<cell>(a), a.rows, a, a.a.q, a.q, t.rows, t.head);
    load_head(gradients_at<cell>(a), a.rows, a, a.a.d_o, a.o, t.rows, t.head);
    for (int i = t.pair; i < a.a.n_pairs; i++) {
        const hy_attn_pair pair = a.a.pairs[i];
        lane_queries<M>::enter(queries, a, t, pair);
        add_keys<P, M, N, K>(a, t, pair, rows, queries, dq);
    }
    add_dq(a, t, queries, dq);
}

/* As many queries as the block's memory has room for. */
template <class P, int M, int N, int K> static void launch_bwd_queries(attn_of all) {
    const size_t cell = sizeof(typename P::cell);
    all.rows = 16 * M * ATTN_WARPS;
    while (all.rows > 16 * M && bwd_queries_bytes(all, 8 * K, cell) > ATTN_SHARED)
        all.rows /= 2;
    all.tiles = tiles_of(all.a.nq, all.rows);
    HY_LAUNCH((attn_bwd_queries_kernel<P, M, N, K>), grid(all.tiles * all.a.n_pairs * all.a.H), all.rows / M * 2,
              bwd_queries_bytes(all, 8 * K, cell), all);
}

template <> void attn_bwd_queries<HY_BF16>(const hy_attn_args *a) {
    const attn_of all = attn_args_of<HY_BF16>(a);
    if (a->D <= 128)
        launch_bwd_queries<half_product, 2, 16, 4>(all);
    else
        launch_bwd_queries<half_product, 1, 32, 4>(all);
}

template <> void attn_bwd_queries<HY_F32>(const hy_attn_args *a) {
    const attn_of all = attn_args_of<HY_F32>(a);
    if (a->D <= 128)
        launch_bwd_queries<float_product, 1, 16, 2>(all);
    else
        launch_bwd_queries<float_product, 1, 32, 2>(all);
}

} // namespace HY_GPU
