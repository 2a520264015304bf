/* Softmax attention, backward to keys and values: dv_j += Σ_i p_ij do_i, dk_j += scale·Σ_i p_ij (do_i·v_j − delta_i) q_i over the query heads
 * that read the key head, in their order. A warp has 16 keys and sums a slice of their gradients' columns in its registers; scores are
 * computed turned, keys by queries, so that they are the next products' left operands as they stand. Keys and values stay in the block's
 * memory, tiles of queries come one after the other, the next while one is used where there is room for two. */
#include "kernels/cuda/attn.cuh"

namespace HY_GPU {

enum { SLICE = 128, KEYS_THREADS = 256 };

/* Of one tile of COLS queries: log-sum-exp to base 2, delta, keys seen. */
template <int COLS> struct query_facts {
    float lse[COLS], delta[COLS];
    int from[COLS], to[COLS];
};
struct query_fact {
    float lse, delta;
    key_range seen;
};

/* Query i of a pair, one that sees nothing if i ≥ end. */
HY_DEVICE query_fact query_fact_of(const attn_of &a, const hy_attn_pair &pair, int i, int end, int head) {
    if (i >= end)
        return {0.0f, 0.0f, {INT_MAX, 0}};
    const int64_t at = (pair.q + i) * a.a.H + head;
    return {static_cast<const float *>(a.a.lse)[at] * log2e(), static_cast<const float *>(a.a.delta)[at],
            keys_seen(pair, a.a.lo, pair.q + i)};
}

template <int COLS> HY_DEVICE void put_fact(query_facts<COLS> &facts, int i, const query_fact &f) {
    facts.lse[i] = f.lse, facts.delta[i] = f.delta, facts.from[i] = f.seen.from, facts.to[i] = f.seen.to;
}

/* Queries from .. to − 1 of a pair that see keys of a tile: they are neighbours, because lo never decreases. */
struct query_range {
    int from, to;
};

HY_DEVICE query_range queries_seeing(const hy_attn_pair &p, const int64_t *lo, const row_range &keys) {
    const int64_t first = keys.row > p.k ? keys.row : p.k;
    const int64_t end = keys.row + keys.n < p.k + p.nk ? keys.row + keys.n : p.k + p.nk;
    if (first >= end)
        return {0, 0};
    const int64_t from = p.k_begin + first - p.k - p.q_begin, last = p.k_begin + end - 1 - p.k;
    int64_t low = from > 0 ? from : 0, high = p.nq;
    const int64_t begin = low;
    while (low < high) { /* the first whose window begins behind the last key */
        const int64_t middle = (low + high) / 2;
        if (lo[p.q + middle] > last)
            high = middle;
        else
            low = middle + 1;
    }
    return {(int)begin, (int)low};
}

/* s, dp: keys by queries. s becomes p, dp p(dp − delta), both 0 where a query does not see a key. key: of the lane's rows. */
template <int COLS>
HY_DEVICE void differentiate_turned(sums<1, COLS / 8> &s, sums<1, COLS / 8> &dp, const query_facts<COLS> &facts,
                                    const int key[2], float scale) {
    const bool all = facts.from[COLS - 1] <= key[0] && key[1] < facts.to[0];
    HY_UNROLL
    for (int n = 0; n < COLS / 8; n++) {
        HY_UNROLL
        for (int i = 0; i < 4; i++) {
            const int col = lane_column(n, i);
            const float p = exp2_fast(s.x[0][n][i] * scale - facts.lse[col]);
            const float ds = p * (dp.x[0][n][i] - facts.delta[col]);
            const bool seen = all || (facts.from[col] <= key[i >> 1] && key[i >> 1] < facts.to[col]);
            s.x[0][n][i] = seen ? p : 0.0f;
            dp.x[0][n][i] = seen ? ds : 0.0f;
        }
    }
}

/* Of this block: a tile of keys, a key head, a slice of columns. Tiles that the most queries see come first. */
struct key_tile {
    int64_t pair;
    row_range rows;
    int head, slice; /* its first column */
};

HY_DEVICE key_tile key_tile_of_block(const attn_of &a, int rows) {
    const int64_t of_slice = block_x() / a.slices, place = of_slice / a.a.HKV, pair = place % a.a.n_pairs;
    const hy_attn_pair &p = a.a.pairs[pair];
    key_tile t = {pair, tile_rows(p.k, key_rows::n(p), place / a.a.n_pairs, rows), (int)(of_slice % a.a.HKV),
                  (int)(block_x() % a.slices) * SLICE};
    if (t.rows.n > 0 && is_anothers<key_rows>(a.a.pairs, pair, t.rows))
        t.rows.n = 0;
    return t;
}

/* The block's memory: facts of `stages` tiles of queries, keys, values, `stages` tiles of queries and their output's gradients. */
template <class T, int COLS> struct bwd_keys_memory {
    query_facts<COLS> *facts;
    T *k, *v, *queries;
    int stage; /* cells of a tile of queries and one of gradients */
};

template <int COLS> HY_BOTH size_t bwd_keys_bytes(const attn_of &a, int keys, size_t cell) {
    return (size_t)a.stages * sizeof(query_facts<COLS>) +
           (size_t)(keys + a.stages * COLS) * (size_t)(a.q.ld + a.o.ld) * cell;
}

template <class T, int COLS> HY_DEVICE bwd_keys_memory<T, COLS> bwd_keys_memory_of(const attn_of &a, int keys) {
    const int ld = a.k.ld, ld_v = a.v.ld;
    T *const cells = shared_at<T>((size_t)a.stages * sizeof(query_facts<COLS>));
    return {shared_at<query_facts<COLS>>(0), cells, cells + keys * ld, cells + keys * (ld + ld_v), COLS * (ld + ld_v)};
}

struct key_sums {
    sums<1, SLICE / 8> dk, dv;
};

/* What the tile of queries in `stage` adds. */
template <class P, int COLS>
HY_DEVICE void add_queries(const attn_of &a, const key_tile &t, const bwd_keys_memory<typename P::cell, COLS> &at,
                           int stage, const int key[2], key_sums &d) {
    typedef typename P::cell cell;
    const int first = 16 * warp_index();
    const cell *const q = at.queries + stage * at.stage, *const d_o = q + COLS * a.q.ld;
    sums<1, COLS / 8> s, dp;
    multiply_rows<P, 1, COLS / 8, 2>(s, at.k + first * a.k.ld, q, a.k.ld, a.k.cols);
    multiply_rows<P, 1, COLS / 8, 2>(dp, at.v + first * a.v.ld, d_o, a.v.ld, a.v.cols);
    differentiate_turned<COLS>(s, dp, at.facts[stage], key, a.scale);
    multiply_sums<P>(d.dv, s, d_o + t.slice, a.o.ld, a.o.cols - t.slice);
    multiply_sums<P>(d.dk, dp, q + t.slice, a.q.ld, a.q.cols - t.slice);
}

/* What one query head of a pair adds. */
template <class P, int COLS>
HY_DEVICE void add_head(const attn_of &a, const key_tile &t, const hy_attn_pair &pair, const query_range &all, int head,
                        const bwd_keys_memory<typename P::cell, COLS> &at, key_sums &d) {
    typedef typename P::cell cell;
    const bool two = a.stages == 2, mine = thread_index() < COLS;
    const int of_warp = (int)(t.rows.row - pair.k) + 16 * warp_index(), own = of_warp + (lane_index() >> 2);
    const int key[2] = {own, own + 8};
    const auto load = [&](int i, int stage) {
        cell *const q = at.queries + stage * at.stage;
        const row_range r = tile_rows(pair.q + i, all.to - i, 0, COLS);
        load_head(q, COLS, a, a.a.q, a.q, r, head);
        load_head(q + COLS * a.q.ld, COLS, a, a.a.d_o, a.o, r, head);
        copy_commit();
    };
    const auto fact = [&](int i) { return query_fact_of(a, pair, i + thread_index(), all.to, head); };
    load(all.from, 0);
    if (mine)
        put_fact<COLS>(at.facts[0], thread_index(), fact(all.from));
    int stage = 0;
    for (int i = all.from; i < all.to; i += COLS) {
        const bool more = i + COLS < all.to;
        const int last = more ? COLS - 1 : all.to - i - 1;
        query_fact next = {};
        copy_wait<0>();
        barrier(); /* this tile is there, and nobody reads the other any more */
        if (two && more) {
            load(i + COLS, stage ^ 1);
            next = fact(i + COLS);
        }
        if (at.facts[stage].from[0] < of_warp + 16 && at.facts[stage].to[last] > of_warp)
            add_queries<P, COLS>(a, t, at, stage, key, d);
        if (more && !two) {
            barrier();
            load(i + COLS, 0);
            next = fact(i + COLS);
        }
        stage = two ? stage ^ 1 : 0;
        if (more && mine)
            put_fact<COLS>(at.facts[stage], thread_index(), next);
    }
    barrier();
}

HY_DEVICE void add_slice(const attn_of &a, const key_tile &t, void *to, int64_t width, const sums<1, SLICE / 8> &sum,
                         float scale) {
    HY_UNROLL
    for (int h = 0; h < 2; h++) {
        const int i = 16 * warp_index() + 8 * h + (lane_index() >> 2);
        float *const row = static_cast<float *>(to) + ((t.rows.row + i) * a.a.HKV + t.head) * width;
        const bool own = is_own<key_rows>(a.a.pairs, t.pair, t.rows, i);
        HY_UNROLL
        for (int n = 0; n < SLICE / 8; n++)
            HY_UNROLL
        for (int j = 0; j < 2; j++) {
            const int c = t.slice + lane_column(n, j);
            if (own && c < width)
                row[c] += sum.x[0][n][2 * h + j] * scale;
        }
    }
}

template <class P, int COLS> HY_KERNEL(KEYS_THREADS, attn_bwd_keys_kernel)(const attn_of a) {
    typedef typename P::cell cell;
    const int n = block_threads() / 32 * 16;
    const key_tile t = key_tile_of_block(a, n);
    if (t.rows.n == 0)
        return;
    const bwd_keys_memory<cell, COLS> at = bwd_keys_memory_of<cell, COLS>(a, n);
    const int group = (int)a.group;
    key_sums d;
    sums<1, SLICE / 8>::clear(d.dk);
    sums<1, SLICE / 8>::clear(d.dv);
    load_head(at.k, n, a, a.a.k, a.k, t.rows, t.head);
    load_head(at.v, n, a, a.a.v, a.v, t.rows, t.head);
    for (int64_t i = t.pair; i < a.a.n_pairs; i++) {
        const hy_attn_pair &pair = a.a.pairs[i]; /* read again rather than kept in registers */
        const query_range all = queries_seeing(pair, a.a.lo, t.rows);
        for (int head = t.head * group; all.from < all.to && head < (t.head + 1) * group; head++)
            add_head<P, COLS>(a, t, pair, all, head, at, d);
    }
    add_slice(a, t, a.a.dk, a.a.D, d.dk, (float)a.a.scale);
    add_slice(a, t, a.a.dv, a.a.DV, d.dv, 1.0f);
}

/* As many warps, and then tiles on their way, as the block's memory has room for. */
template <class P, int COLS> static void launch_bwd_keys(attn_of all) {
    static const int choices[][2] = {{8, 2}, {4, 2}, {4, 1}, {2, 1}, {1, 1}};
    const int64_t widest = all.a.D > all.a.DV ? all.a.D : all.a.DV;
    int warps = 0;
    for (const auto &choice : choices) {
        warps = choice[0], all.stages = choice[1];
        if (32 * warps >= COLS && bwd_keys_bytes<COLS>(all, 16 * warps, sizeof(typename P::cell)) <= ATTN_SHARED)
            break;
    }
    all.slices = (int)tiles_of(widest, SLICE);
    all.tiles = tiles_of(all.a.nk, 16 * warps);
    HY_LAUNCH((attn_bwd_keys_kernel<P, COLS>), grid(all.tiles * all.a.n_pairs * all.a.HKV * all.slices), 32 * warps,
              bwd_keys_bytes<COLS>(all, 16 * warps, sizeof(typename P::cell)), all);
}

template <> void attn_bwd_keys<HY_BF16>(const hy_attn_args *a) {
    launch_bwd_keys<half_product, 64>(attn_args_of<HY_BF16>(a));
}

template <> void attn_bwd_keys<HY_F32>(const hy_attn_args *a) {
    launch_bwd_keys<float_product, 32>(attn_args_of<HY_F32>(a));
}

} // namespace HY_GPU
