/* Softmax attention over a list of pairs (kernels.h, hy_attn): what its kernels share.
 *
 * A block of threads has a tile of rows of some pair, queries or keys, and goes through the rest of the list for whatever else concerns
 * them: rows that several pairs name belong to the first of these. So one launch serves the list, results are written once, in the list's
 * order, and nobody adds to what another adds to. The list is on the device: the grid has a place for every pair's largest number of tiles,
 * and those without rows return at once.
 *
 * Dao, FlashAttention-2 (2023): tiles of keys with running maxima; backward from the log-sum-exp. */
#ifndef HY_KERNELS_CUDA_ATTN_CUH
#define HY_KERNELS_CUDA_ATTN_CUH

#include <limits.h>
#include <stdlib.h>

#include "kernels/cuda/attn_product.cuh"

namespace HY_GPU {

template <hy_dtype P> void attn_fwd(const hy_attn_args *a);
/* Of bf16 by cuDNN, where it has a plan for the call (attn_cudnn.cu); false: nothing was done. Its part of a->work; its plans (kernels.h). */
bool attn_fwd_cudnn(const hy_attn_args *a);
size_t attn_cudnn_work(const hy_attn_args *a);
bool attn_cudnn_plan(const hy_attn_args *a, hy_attn_plan_step step);
template <hy_dtype P> void attn_bwd_queries(const hy_attn_args *a); /* dq */
template <hy_dtype P> void attn_bwd_keys(const hy_attn_args *a);    /* dk, dv */

enum : int {
    ATTN_SHARED = 163840,
    ATTN_WIDEST = 256
}; /* bytes that every GPU of data centres gives a block; channels of a head */

/* An array of heads: elements from one row to the next, of one row of a head, and what a tile of it has (attn_product.cuh). */
struct attn_heads {
    int64_t stride;
    int width, cols, ld;
};

struct attn_of {
    hy_attn_args a;
    attn_heads q, k, v, o; /* o: of d_o, too */
    int64_t group;         /* query heads that read a key head */
    float scale;           /* of scores whose exponentials are powers of two */
    bool aligned;          /* rows of q, k, v, d_o: to 16 bytes */
    int64_t tiles;         /* of a pair, at most */
    int rows;              /* of a tile */
    int slices;            /* of columns of dk, dv, each of which a block of threads sums */
    int stages;
};

static inline attn_heads attn_heads_of(int64_t heads, int64_t width) {
    return {heads * width, (int)width, tile_cols(width), tile_ld(width)};
}

template <hy_dtype P> static inline attn_of attn_args_of(const hy_attn_args *a) {
    const size_t size = hy_role_size(P, HY_ROLE_ACT);
    const void *const arrays[] = {a->q, a->k, a->v, a->d_o};
    attn_of all = {*a,
                   attn_heads_of(a->H, a->D),
                   attn_heads_of(a->HKV, a->D),
                   attn_heads_of(a->HKV, a->DV),
                   attn_heads_of(a->H, a->DV),
                   a->H / a->HKV,
                   (float)(a->scale * 1.4426950408889634),
                   (size_t)a->D * size % 16 == 0 && (size_t)a->DV * size % 16 == 0,
                   0,
                   0,
                   1,
                   1};
    for (const void *array : arrays)
        all.aligned = all.aligned && (uintptr_t)array % 16 == 0;
    if (a->D > ATTN_WIDEST || a->DV > ATTN_WIDEST) {
        const hy_status said =
            hy_fail(HY_ERR_USAGE, "softmax attention on a GPU has heads of at most %d channels, not of %lld, %lld",
                    (int)ATTN_WIDEST, (long long)a->D, (long long)a->DV);
        (void)said;
        abort();
    }
    return all;
}

static inline int64_t tiles_of(int64_t rows, int64_t of) {
    return (rows + of - 1) / of;
}

/* ---- whose rows ---- */

/* n rows of an array, from `row` on. */
struct row_range {
    int64_t row;
    int n;
};

/* Rows tile·of .. of a pair whose rows are first .. first + n − 1. */
HY_DEVICE row_range tile_rows(int64_t first, int64_t n, int64_t tile, int of) {
    const int64_t left = n - tile * of;
    return {first + tile * of, left <= 0 ? 0 : left < of ? (int)left : of};
}

struct query_rows {
    HY_DEVICE int64_t first(const hy_attn_pair &p) {
        return p.q;
    }
    HY_DEVICE int64_t n(const hy_attn_pair &p) {
        return p.nk > 0 ? p.nq : 0;
    }
};
struct key_rows {
    HY_DEVICE int64_t first(const hy_attn_pair &p) {
        return p.k;
    }
    HY_DEVICE int64_t n(const hy_attn_pair &p) {
        return p.nq > 0 ? p.nk : 0;
    }
};

/* Whether a pair before `pair` has all of these rows. */
template <class R> HY_DEVICE bool is_anothers(const hy_attn_pair *pairs, int64_t pair, const row_range &r) {
    for (int64_t i = 0; i < pair; i++) {
        const int64_t first = R::first(pairs[i]);
        if (first <= r.row && r.row + r.n <= first + R::n(pairs[i]))
            return true;
    }
    return false;
}

/* Whether row i of a tile of `pair` is there, and no pair before has it. */
template <class R> HY_DEVICE bool is_own(const hy_attn_pair *pairs, int64_t pair, const row_range &r, int i) {
    bool own = i < r.n;
    for (int64_t j = 0; own && j < pair; j++) {
        const int64_t first = R::first(pairs[j]);
        own = r.row + i < first || r.row + i >= first + R::n(pairs[j]);
    }
    return own;
}

/* ---- who sees whom ---- */

/* Keys from .. to − 1 of a pair, counted from its first. */
struct key_range {
    int from, to;
};

/* What query row `row` sees of a pair that it belongs to. */
HY_DEVICE key_range keys_seen(const hy_attn_pair &p, const int64_t *lo, int64_t row) {
    const int64_t from = lo[row] - p.k_begin, to = p.q_begin + row - p.q + 1 - p.k_begin;
    return {from < 0 ? 0 : from < p.nk ? (int)from : (int)p.nk, to < 0 ? 0 : to < p.nk ? (int)to : (int)p.nk};
}

/* What any query of a tile sees of a pair: nothing where none belongs to it. */
HY_DEVICE key_range keys_seen_by(const hy_attn_pair &p, const int64_t *lo, const row_range &queries) {
    const int64_t first = queries.row > p.q ? queries.row : p.q;
    const int64_t end = queries.row + queries.n < p.q + p.nq ? queries.row + queries.n : p.q + p.nq;
    if (first >= end)
        return {0, 0};
    return {keys_seen(p, lo, first).from, keys_seen(p, lo, end - 1).to};
}

/* A tile of rows of a head. */
template <class T>
HY_DEVICE void load_head(T *tile, int rows, const attn_of &a, const void *x, const attn_heads &shape,
                         const row_range &r, int head) {
    const T *const at = static_cast<const T *>(x) + r.row * shape.stride + head * shape.width;
    load_tile<T>(tile, shape.ld, rows, {at, shape.stride, r.n, shape.width}, a.aligned);
}

enum : int { ATTN_WARPS = 4, ATTN_THREADS = 32 * ATTN_WARPS };

/* ---- a tile of queries ---- */

struct query_tile {
    int pair, head, key_head;
    row_range rows;
};

/* Of this block; blocks with the most keys come first. rows.n is 0 if there is nothing to do. */
HY_DEVICE query_tile query_tile_of_block(const attn_of &a, int rows) {
    const int64_t place = block_x() / a.a.H, pair = place % a.a.n_pairs;
    const hy_attn_pair &p = a.a.pairs[pair];
    const int64_t head = block_x() % a.a.H;
    query_tile t = {(int)pair, (int)head, (int)(head / a.group),
                    tile_rows(p.q, query_rows::n(p), a.tiles - 1 - place / a.a.n_pairs, rows)};
    if (t.rows.n > 0 && is_anothers<query_rows>(a.a.pairs, pair, t.rows))
        t.rows.n = 0;
    return t;
}

/* Rows of a lane in its warp's M tiles of 16: row of [m][h], counted from the block's first. */
template <int M> HY_DEVICE int lane_row(int m, int h) {
    return 16 * (warp_index() * M + m) + 8 * h + (lane_index() >> 2);
}

template <int M> struct lane_queries {
    uint32_t own;         /* bit 2m + h */
    key_range seen[M][2]; /* of the pair at hand */

    HY_DEVICE bool is_own_row(const lane_queries &q, int m, int h) {
        return (q.own >> (2 * m + h) & 1) != 0;
    }
    HY_DEVICE void find(lane_queries &q, const attn_of &a, const query_tile &t) {
        q.own = 0;
        HY_UNROLL
        for (int m = 0; m < M; m++)
            HY_UNROLL
        for (int h = 0; h < 2; h++)
            q.own |= (uint32_t)is_own<query_rows>(a.a.pairs, t.pair, t.rows, lane_row<M>(m, h)) << (2 * m + h);
    }
    HY_DEVICE void enter(lane_queries &q, const attn_of &a, const query_tile &t, const hy_attn_pair &p) {
        HY_UNROLL
        for (int m = 0; m < M; m++)
            HY_UNROLL
        for (int h = 0; h < 2; h++) {
            const int64_t row = t.rows.row + lane_row<M>(m, h);
            const bool here = is_own_row(q, m, h) && row >= p.q && row < p.q + p.nq;
            q.seen[m][h] = here ? keys_seen(p, a.a.lo, row) : key_range{0, 0};
        }
    }
    /* Of keys j .. j + n − 1: whether a row of the warp's sees any, and whether all of the lane's see all. */
    HY_DEVICE bool warp_sees(const lane_queries &q, int j, int n) {
        bool any = false;
        HY_UNROLL
        for (int m = 0; m < M; m++)
            HY_UNROLL
        for (int h = 0; h < 2; h++)
            any = any || (q.seen[m][h].from < j + n && q.seen[m][h].to > j && q.seen[m][h].from < q.seen[m][h].to);
        return warp_any(any);
    }
    HY_DEVICE bool sees_all(const lane_queries &q, int j, int n) {
        bool all = true;
        HY_UNROLL
        for (int m = 0; m < M; m++)
            HY_UNROLL
        for (int h = 0; h < 2; h++)
            all = all && q.seen[m][h].from <= j && q.seen[m][h].to >= j + n;
        return all;
    }
};

/* The column of a tile that a lane has as element i of its n-th tile of eight. */
HY_DEVICE int lane_column(int n, int i) {
    return 8 * n + 2 * (lane_index() & 3) + (i & 1);
}

/* ---- numbers ---- */

HY_DEVICE float log2e() {
    return 1.44269504f;
}

} // namespace HY_GPU

#endif
