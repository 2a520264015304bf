/* Softmax attention, forward. A warp has 16·M queries: their scores with a tile of keys, the running maximum and sum of their exponentials
 * and the sum of values stay in its registers; queries, one tile of keys and one of values are in the block's memory. Values come while scores
 * are computed, the next keys while values are added. At the end the list's result is merged into what o and lse hold. */
#include "kernels/cuda/attn.cuh"

namespace HY_GPU {

/* Of 16·M queries and up to 8·N channels of values; logarithms to base 2. */
template <int M, int N> struct running {
    sums<M, N> o;
    float max[M][2], sum[M][2]; /* sum: of the lane's own columns */
};

template <int M, int N> HY_DEVICE void running_begin(running<M, N> &r) {
    sums<M, N>::clear(r.o);
    HY_UNROLL
    for (int m = 0; m < M; m++)
        HY_UNROLL
    for (int h = 0; h < 2; h++)
        r.max[m][h] = -INFINITY, r.sum[m][h] = 0.0f;
}

/* What a row of scores has to be reduced by: 0 where nothing was seen yet. */
HY_DEVICE float finite_or_zero(float max) {
    return max == -INFINITY ? 0.0f : max;
}

/* Scores of keys j .. j + 8·K − 1 become weights; what was summed before them shrinks. */
template <int M, int K, int N>
HY_DEVICE void weigh(sums<M, K> &s, running<M, N> &r, const lane_queries<M> &queries, int j, float scale) {
    const bool all = lane_queries<M>::sees_all(queries, j, 8 * K);
    HY_UNROLL
    for (int m = 0; m < M; m++)
        HY_UNROLL
    for (int h = 0; h < 2; h++) {
        const key_range seen = queries.seen[m][h];
        float max = r.max[m][h], sum = 0.0f;
        HY_UNROLL
        for (int n = 0; n < K; n++)
            HY_UNROLL
        for (int i = 2 * h; i < 2 * h + 2; i++) {
            const int key = j + lane_column(n, i);
            const float x = s.x[m][n][i] * scale;
            s.x[m][n][i] = all || (key >= seen.from && key < seen.to) ? x : -INFINITY;
            max = fmaxf(max, s.x[m][n][i]);
        }
        max = fmaxf(max, shuffle_xor(max, 1));
        max = fmaxf(max, shuffle_xor(max, 2));
        const float by = finite_or_zero(max), keep = exp2_fast(r.max[m][h] - by);
        HY_UNROLL
        for (int n = 0; n < K; n++)
            HY_UNROLL
        for (int i = 2 * h; i < 2 * h + 2; i++) {
            s.x[m][n][i] = exp2_fast(s.x[m][n][i] - by);
            sum += s.x[m][n][i];
        }
        r.max[m][h] = max;
        r.sum[m][h] = r.sum[m][h] * keep + sum;
        HY_UNROLL
        for (int n = 0; n < N; n++)
            r.o.x[m][n][2 * h] *= keep, r.o.x[m][n][2 * h + 1] *= keep;
    }
}

/* o and lse of one row, what they hold kept by its share. old: what lse holds. */
template <int M, int N>
HY_DEVICE void merge_row(const attn_of &a, const running<M, N> &r, int m, int h, int64_t at, float sum, float old) {
    float *const o = static_cast<float *>(a.a.o) + at * a.a.DV;
    const float here = (r.max[m][h] + log2f(sum)) / log2e();
    const float top = fmaxf(here, old), weight = expf(here - top), old_weight = expf(old - top);
    const float keep = old_weight / (weight + old_weight), add = weight / (weight + old_weight) / sum;
    if ((lane_index() & 3) == 0)
        static_cast<float *>(a.a.lse)[at] = top + logf(weight + old_weight);
    HY_UNROLL
    for (int n = 0; n < N; n++)
        HY_UNROLL
    for (int i = 0; i < 2; i++) {
        const int c = lane_column(n, i);
        if (c < a.v.width)
            o[c] = r.o.x[m][n][2 * h + i] * add + (keep > 0 ? o[c] * keep : 0.0f);
    }
}

template <int M, int N>
HY_DEVICE void merge(const attn_of &a, const query_tile &t, const running<M, N> &r, const lane_queries<M> &queries) {
    HY_UNROLL
    for (int m = 0; m < M; m++)
        HY_UNROLL
    for (int h = 0; h < 2; h++) {
        const int64_t at = (t.rows.row + lane_row<M>(m, h)) * a.a.H + t.head;
        float sum = r.sum[m][h];
        sum += shuffle_xor(sum, 1);
        sum += shuffle_xor(sum, 2);
        const bool saw = lane_queries<M>::is_own_row(queries, m, h) && sum > 0;
        const float old = saw ? static_cast<const float *>(a.a.lse)[at] : 0.0f;
        warp_barrier(); /* all lanes of the row have read lse */
        if (saw)
            merge_row(a, r, m, h, at, sum, old);
    }
}

/* The block's memory: queries, a tile of keys, a tile of values. */
HY_BOTH size_t fwd_bytes(const attn_of &a, int keys, size_t cell) {
    return ((size_t)(a.rows + keys) * (size_t)a.q.ld + (size_t)keys * (size_t)a.v.ld) * cell;
}

/* Where row `row` is of queries and keys, one behind the other. */
template <class T> HY_DEVICE T *row_at(const attn_of &a, int row) {
    return shared_at<T>(0) + row * a.q.ld;
}

/* P: product, M: tiles of 16 queries of a warp, N: tiles of 8 channels of values, K: of 8 keys. */
template <class P, int M, int N, int K>
HY_DEVICE void attend_pair(const attn_of &a, const query_tile &t, const hy_attn_pair &pair,
                           const lane_queries<M> &queries, running<M, N> &r) {
    typedef typename P::cell cell;
    enum { KEYS = 8 * K };
    const key_range all = keys_seen_by(pair, a.a.lo, t.rows);
    if (all.from >= all.to)
        return;
    const auto rows_at = [&](int j) { return tile_rows(pair.k + j, all.to - j, 0, KEYS); };
    load_head(row_at<cell>(a, a.rows), KEYS, a, a.a.k, a.k, rows_at(all.from), t.key_head);
    copy_commit();
    for (int j = all.from; j < all.to; j += KEYS) {
        const bool sees = lane_queries<M>::warp_sees(queries, j, KEYS);
        copy_wait<0>();
        barrier(); /* keys are there, and nobody reads the values before them any more */
        load_head(row_at<cell>(a, a.rows + KEYS), KEYS, a, a.a.v, a.v, rows_at(j), t.key_head);
        copy_commit();
        sums<M, K> s;
        if (sees)
            multiply_rows<P, M, K>(s, row_at<cell>(a, 16 * M * warp_index()), row_at<cell>(a, a.rows), a.q.ld,
                                   a.q.cols);
        copy_wait<0>();
        barrier(); /* values are there, and nobody reads these keys any more */
        if (j + KEYS < all.to)
            load_head(row_at<cell>(a, a.rows), KEYS, a, a.a.k, a.k, rows_at(j + KEYS), t.key_head);
        copy_commit();
        if (sees) {
            weigh(s, r, queries, j, a.scale);
            multiply_sums<P>(r.o, s, row_at<cell>(a, a.rows + KEYS), a.v.ld, a.v.cols);
        }
    }
}

template <class P, int M, int N, int K> HY_KERNEL(ATTN_THREADS, attn_fwd_kernel)(const attn_of a) {
    typedef typename P::cell cell;
    const query_tile t = query_tile_of_block(a, a.rows);
    if (t.rows.n == 0)
        return;
    running<M, N> r;
    lane_queries<M> queries;
    running_begin(r);
    lane_queries<M>::find(queries, a, t);
    load_head(row_at<cell>(a, 0), a.rows, a, a.a.q, a.q, t.rows, t.head);
    for (int i = t.pair; i < a.a.n_pairs; i++) {
        const hy_attn_pair pair = a.a.pairs[i];
        lane_queries<M>::enter(queries, a, t, pair);
        attend_pair<P, M, N, K>(a, t, pair, queries, r);
    }
    merge(a, t, r, queries);
}

/* As many queries as the block's memory has room for. */
template <class P, int M, int N, int K> static void launch_fwd(attn_of all) {
    const size_t cell = sizeof(typename P::cell);
    all.rows = 16 * M * ATTN_WARPS;
    while (all.rows > 16 * M && fwd_bytes(all, 8 * K, cell) > ATTN_SHARED)
        all.rows /= 2;
    all.tiles = tiles_of(all.a.nq, all.rows);
    HY_LAUNCH((attn_fwd_kernel<P, M, N, K>), grid(all.tiles * all.a.n_pairs * all.a.H), all.rows / M * 2,
              fwd_bytes(all, 8 * K, cell), all);
}

template <> void attn_fwd<HY_BF16>(const hy_attn_args *a) {
    if (attn_fwd_cudnn(a))
        return;
    const attn_of all = attn_args_of<HY_BF16>(a);
    if (a->DV <= 128)
        launch_fwd<half_product, 2, 16, 6>(all);
    else
        launch_fwd<half_product, 1, 32, 4>(all);
}

template <> void attn_fwd<HY_F32>(const hy_attn_args *a) {
    const attn_of all = attn_args_of<HY_F32>(a);
    if (a->DV <= 128)
        launch_fwd<float_product, 1, 16, 4>(all);
    else
        launch_fwd<float_product, 1, 32, 4>(all);
}

} // namespace HY_GPU
