/* Attention backward on AMX tiles (amx.h): scores and their gradients [queries,keys], keys in lanes. P and dS are rounded to bf16
 * and written as pairs of rows, factors of dV and dK, and dS as rows, a factor of dQ. All sums are float. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_BWD_TILES_H
#define HY_KERNELS_CPU_SIMD_ATTN_BWD_TILES_H

#include "kernels/cpu/simd/amx.h"
#include "kernels/cpu/simd/attn_bwd.h"

#define TILES 4
#define KEYS  (TILES * HY_ATTN_LANES)
#define ROWS  64

typedef struct key_tile {
    int64_t key, count;
    hy_half_mat k_lanes, v_lanes; /* [D/2,64,2], [DV/2,64,2] */
    hy_half_mat k_rows;           /* [32,D,2] */
    float *dk, *dv;               /* [D,64], [DV,64] */
} key_tile;

typedef struct scratch {
    int64_t panels, DV;      /* D, DV in whole pairs of tiles */
    hy_half_mat q, d_o;      /* [64,D], [64,DV] */
    hy_half_mat turn;        /* pairs of rows of either */
    hy_half_mat qt, d_ot;    /* [D,64], [DV,64] */
    float *dq;               /* [64,D] */
    hy_mat s, ds;            /* [64,64] */
    hy_half_mat p, dsp, dsr; /* [32,64,2] of P, of dS; [64,64] dS */
    key_tile keys[TILES];
} scratch;

size_t HY_ISA_NAME(hy_attn_bwd_floats)(int64_t D, int64_t DV) {
    const int64_t d = hy_round32(D), v = hy_round32(DV), wide = d > v ? d : v;
    const int64_t rows = ROWS * (d + v + wide / 2 + d + 2 * HY_ATTN_LANES + 3 * HY_ATTN_LANES / 2);
    return (size_t)(rows + KEYS * (d / 2 + v / 2 + d / 2 + d + v)) + sizeof(progress) / sizeof(float);
}

static scratch scratch_of(const hy_attn_block *a, int thread) {
    float *work =
        hy_attn_work_of(a, HY_ISA_NAME(hy_attn_bwd_floats)(a->D, a->DV), thread) + sizeof(progress) / sizeof(float);
    const int64_t D = hy_round32(a->D), DV = hy_round32(a->DV);
    scratch w = {.panels = D, .DV = DV};
    w.q = hy_attn_take_half(&work, ROWS, D);
    w.d_o = hy_attn_take_half(&work, ROWS, DV);
    w.turn = hy_attn_take_half(&work, ROWS / 2, 2 * (D > DV ? D : DV));
    w.qt = hy_attn_take_half(&work, D, ROWS);
    w.d_ot = hy_attn_take_half(&work, DV, ROWS);
    w.dq = hy_attn_take(&work, ROWS * D);
    w.s = (hy_mat){hy_attn_take(&work, ROWS * HY_ATTN_LANES), HY_ATTN_LANES};
    w.ds = (hy_mat){hy_attn_take(&work, ROWS * HY_ATTN_LANES), HY_ATTN_LANES};
    w.p = hy_attn_take_half(&work, ROWS / 2, 2 * HY_ATTN_LANES);
    w.dsp = hy_attn_take_half(&work, ROWS / 2, 2 * HY_ATTN_LANES);
    w.dsr = hy_attn_take_half(&work, ROWS, HY_ATTN_LANES);
    for (int x = 0; x < TILES; x++) {
        key_tile *t = &w.keys[x];
        t->k_lanes = hy_attn_take_half(&work, D / 2, 2 * HY_ATTN_LANES);
        t->v_lanes = hy_attn_take_half(&work, DV / 2, 2 * HY_ATTN_LANES);
        t->k_rows = hy_attn_take_half(&work, HY_ATTN_LANES / 2, 2 * D);
        t->dk = hy_attn_take(&work, HY_ATTN_LANES * D);
        t->dv = hy_attn_take(&work, HY_ATTN_LANES * DV);
    }
    return w;
}

static void keys_begin(const hy_attn_block *a, const scratch *w, key_tile *t, int64_t kv_head, int64_t key) {
    const int64_t row = key * a->HKV + kv_head;
    t->key = key;
    t->count = hy_attn_clamp(a->nk - key, 0, HY_ATTN_LANES);
    hy_half_read(w->q, (const hy_bf16 *)a->k + row * a->D, a->HKV * a->D, HY_ATTN_LANES, w->panels, t->count, a->D);
    hy_half_read(w->d_o, (const hy_bf16 *)a->v + row * a->DV, a->HKV * a->DV, HY_ATTN_LANES, w->DV, t->count, a->DV);
    hy_half_turn(t->k_lanes, w->q, HY_ATTN_LANES, w->panels / 2);
    hy_half_turn(t->v_lanes, w->d_o, HY_ATTN_LANES, w->DV / 2);
    hy_half_pair(t->k_rows, w->q, HY_ATTN_LANES, w->panels);
    memset(t->dk, 0, (size_t)(HY_ATTN_LANES * w->panels) * sizeof(float));
    memset(t->dv, 0, (size_t)(HY_ATTN_LANES * w->DV) * sizeof(float));
}

static void read_and_turn(const scratch *w, hy_half_mat rows, hy_half_mat turned, const hy_bf16 *src, int64_t stride,
                          int64_t count, int64_t n, int64_t cols) {
    hy_half_read(rows, src, stride, ROWS, cols, count, n);
    hy_half_pair((hy_half_mat){w->turn.p, 2 * cols}, rows, ROWS, cols);
    hy_half_turn(turned, (hy_half_mat){w->turn.p, 2 * cols}, ROWS / 2, cols);
}

/* Queries and gradients of r, from row `at` of [nq·H]. */
static void rows_read(const hy_attn_block *a, const scratch *w, const query_rows *r, int64_t at) {
    read_and_turn(w, w->q, w->qt, (const hy_bf16 *)a->q + at * a->D, a->H * a->D, r->count, a->D, w->panels);
    read_and_turn(w, w->d_o, w->d_ot, (const hy_bf16 *)a->d_o + at * a->DV, a->H * a->DV, r->count, a->DV, w->DV);
}

/* Row i, lanes j on: P, and dS from dO Vᵀ. */
HY_INLINE hy_vec score_gradient(const scratch *w, const query_rows *r, int64_t key, int64_t i, int64_t j, hy_vec scale,
                                hy_vec *ds, const int masked) {
    hy_vec p = hy_vec_exp2(hy_vec_load(hy_mat_at(w->s, i, j).p) * scale - hy_vec_set(r->lse[i]));
    if (masked) {
        const hy_ivec at = hy_ivec_iota() + hy_ivec_set((int32_t)(key + j));
        p = (hy_vec)((hy_ivec)p & (hy_ivec)(hy_ivec_set(r->first[i]) <= at) & (hy_ivec)(at < hy_ivec_set(r->end[i])));
    }
    *ds = p * (hy_vec_load(hy_mat_at(w->ds, i, j).p) - hy_vec_set(r->delta[i]));
    return p;
}

HY_INLINE void score_gradients(const scratch *w, const query_rows *r, int64_t key, int64_t from, int64_t to,
                               hy_vec scale, const int masked) {
    for (int64_t i = from; i < to; i += 2)
        for (int64_t j = 0; j < HY_ATTN_LANES; j += 2 * HY_VL) {
            hy_vec ds[4], p[4];
            HY_UNROLL
            for (int x = 0; x < 4; x++)
                p[x] = score_gradient(w, r, key, i + x / 2, j + x % 2 * HY_VL, scale, &ds[x], masked);
            uint16_t *to_p = w->p.p + i / 2 * w->p.ld + 2 * j, *to_ds = w->dsp.p + i / 2 * w->dsp.ld + 2 * j;
            hy_half_put_pair(to_p, p[0], p[2]);
            hy_half_put_pair(to_p + 32, p[1], p[3]);
            hy_half_put_pair(to_ds, ds[0], ds[2]);
            hy_half_put_pair(to_ds + 32, ds[1], ds[3]);
            hy_half_put_row(w->dsr.p + i * w->dsr.ld + j, ds[0], ds[1]);
            hy_half_put_row(w->dsr.p + (i + 1) * w->dsr.ld + j, ds[2], ds[3]);
        }
}

static void tile_step(const hy_attn_block *a, const scratch *w, const query_rows *r, const key_tile *t) {
    int64_t from, to;
    if (!query_rows_seeing(r, t->key, t->count, &from, &to))
        return;
    from = from / 32 * 32;
    const int masked = r->first[to - 1] > t->key || r->end[from] < t->key + HY_ATTN_LANES || to % 32 > 0;
    to = hy_round32(to);
    const int64_t n = to - from;
    const hy_vec scale = hy_vec_set((float)(a->scale * HY_LOG2E));
    hy_tiles_set(hy_mat_at(w->s, from, 0), hy_half_at(w->q, from, 0), t->k_lanes,
                 (hy_shape){n, HY_ATTN_LANES, w->panels});
    hy_tiles_set(hy_mat_at(w->ds, from, 0), hy_half_at(w->d_o, from, 0), t->v_lanes,
                 (hy_shape){n, HY_ATTN_LANES, w->DV});
    if (masked)
        score_gradients(w, r, t->key, from, to, scale, 1);
    else
        score_gradients(w, r, t->key, from, to, scale, 0);
    const hy_half_mat p = hy_half_at(w->p, from / 2, 0), ds = hy_half_at(w->dsp, from / 2, 0);
    hy_tiles_add((hy_mat){t->dv, HY_ATTN_LANES}, hy_half_at(w->d_ot, 0, from), p, (hy_shape){w->DV, HY_ATTN_LANES, n});
    hy_tiles_add((hy_mat){t->dk, HY_ATTN_LANES}, hy_half_at(w->qt, 0, from), ds,
                 (hy_shape){w->panels, HY_ATTN_LANES, n});
    hy_tiles_add((hy_mat){w->dq + from * w->panels, w->panels}, hy_half_at(w->dsr, from, 0), t->k_rows,
                 (hy_shape){n, w->panels, HY_ATTN_LANES});
}

#endif
