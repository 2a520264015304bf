/* Attention backward on float vectors: lanes are keys, rows are queries, which are broadcast. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_BWD_LANES_H
#define HY_KERNELS_CPU_SIMD_ATTN_BWD_LANES_H

#include "kernels/cpu/simd/attn_bwd.h"

#define TILES 2
#define KEYS  (TILES * HY_ATTN_LANES)

#define ROWS HY_ATTN_ROWS

typedef struct key_tile {
    int64_t key, count;
    float *k_lanes, *v_lanes; /* panels [D,HY_PANEL] (times scale·log2 e), [DV,HY_PANEL] */
    float *k_rows;            /* [64,D], zeros to a whole panel */
    float *dk, *dv;           /* [D,64], [DV,64] */
} key_tile;

typedef struct scratch {
    int64_t ldq, ldo, ldk, panels; /* panels: D rounded up to whole panels */
    float *q, *d_o, *dq;           /* [96,D], [96,DV], [96,panels] */
    float *s, *ds;                 /* [96,64] */
    key_tile keys[TILES];
} scratch;

static int64_t panels_of(int64_t D) {
    return (D + HY_PANEL - 1) / HY_PANEL * HY_PANEL;
}

size_t HY_ISA_NAME(hy_attn_bwd_floats)(int64_t D, int64_t DV) {
    int64_t rows = HY_ATTN_ROWS * (hy_attn_ld(D) + hy_attn_ld(DV) + panels_of(D) + 2 * HY_ATTN_LANES);
    int64_t keys = KEYS * (2 * (D + DV) + hy_attn_ld(panels_of(D)));
    return (size_t)(rows + keys) + sizeof(progress) / sizeof(float);
}

static scratch scratch_of(const hy_attn_block *a, int thread) {
    float *work =
        hy_attn_work_of(a, HY_ISA_NAME(hy_attn_bwd_floats)(a->D, a->DV), thread) + sizeof(progress) / sizeof(float);
    scratch w = {.ldq = hy_attn_ld(a->D), .ldo = hy_attn_ld(a->DV), .panels = panels_of(a->D)};
    w.ldk = hy_attn_ld(w.panels);
    w.q = hy_attn_take(&work, HY_ATTN_ROWS * w.ldq);
    w.d_o = hy_attn_take(&work, HY_ATTN_ROWS * w.ldo);
    w.dq = hy_attn_take(&work, HY_ATTN_ROWS * w.panels);
    w.s = hy_attn_take(&work, HY_ATTN_ROWS * HY_ATTN_LANES);
    w.ds = hy_attn_take(&work, HY_ATTN_ROWS * HY_ATTN_LANES);
    for (int x = 0; x < TILES; x++) {
        key_tile *t = &w.keys[x];
        t->k_lanes = hy_attn_take(&work, HY_ATTN_LANES * a->D);
        t->v_lanes = hy_attn_take(&work, HY_ATTN_LANES * a->DV);
        t->k_rows = hy_attn_take(&work, HY_ATTN_LANES * w.ldk);
        t->dk = hy_attn_take(&work, HY_ATTN_LANES * a->D);
        t->dv = hy_attn_take(&work, HY_ATTN_LANES * a->DV);
    }
    return w;
}

static void keys_begin(const hy_attn_block *a, const scratch *w, key_tile *t, int64_t kv_head, int64_t key) {
    const hy_elem *k = (const hy_elem *)a->k + (key * a->HKV + kv_head) * a->D;
    const hy_elem *v = (const hy_elem *)a->v + (key * a->HKV + kv_head) * a->DV;
    t->key = key;
    t->count = hy_attn_clamp(a->nk - key, 0, HY_ATTN_LANES);
    hy_attn_pack_lanes(t->k_lanes, k, a->HKV * a->D, t->count, a->D, (float)(a->scale * HY_LOG2E));
    hy_attn_pack_lanes(t->v_lanes, v, a->HKV * a->DV, t->count, a->DV, 1.0f);
    memset(t->k_rows, 0, (size_t)(HY_ATTN_LANES * w->ldk) * sizeof(float));
    hy_attn_copy_rows(t->k_rows, w->ldk, k, a->HKV * a->D, t->count, a->D);
    memset(t->dk, 0, (size_t)(HY_ATTN_LANES * a->D) * sizeof(float));
    memset(t->dv, 0, (size_t)(HY_ATTN_LANES * a->DV) * sizeof(float));
}

/* Queries and gradients of r, from row `at` of [nq·H]. */
static void rows_read(const hy_attn_block *a, const scratch *w, const query_rows *r, int64_t at) {
    hy_attn_copy_rows(w->q, w->ldq, (const hy_elem *)a->q + at * a->D, a->H * a->D, r->count, a->D);
    hy_attn_copy_rows(w->d_o, w->ldo, (const hy_elem *)a->d_o + at * a->DV, a->H * a->DV, r->count, a->DV);
}

/* Rows from .. to − 1: s becomes P and ds (which holds dO Vᵀ) becomes dS. */
HY_INLINE void score_gradient(const scratch *w, const query_rows *r, int64_t key, int64_t from, int64_t to,
                              const int masked) {
    for (int64_t i = from; i < to; i++) {
        hy_vec lse = hy_vec_set(r->lse[i]), delta = hy_vec_set(r->delta[i]);
        hy_ivec first = hy_ivec_set(r->first[i]), end = hy_ivec_set(r->end[i]);
        for (int64_t j = 0; j < HY_ATTN_LANES; j += HY_VL) {
            float *s = w->s + i * HY_ATTN_LANES + j, *ds = w->ds + i * HY_ATTN_LANES + j;
            hy_vec p = hy_vec_exp2(hy_vec_load(s) - lse);
            if (masked) {
                hy_ivec at = hy_ivec_iota() + hy_ivec_set((int32_t)(key + j));
                p = (hy_vec)((hy_ivec)p & (hy_ivec)(first <= at) & (hy_ivec)(at < end));
            }
            hy_vec_store(s, p);
            hy_vec_store(ds, p * (hy_vec_load(ds) - delta));
        }
    }
}

static void products(const hy_attn_block *a, const scratch *w, const key_tile *t, int64_t from, int64_t n) {
    const float *q = w->q + from * w->ldq, *d_o = w->d_o + from * w->ldo;
    float *s = w->s + from * HY_ATTN_LANES, *ds = w->ds + from * HY_ATTN_LANES;
    hy_tile_product_columns_add(&(hy_tile_product){.m = a->DV,
                                                   .n = HY_ATTN_LANES,
                                                   .k = n,
                                                   .a = d_o,
                                                   .lda = w->ldo,
                                                   .b = s,
                                                   .ldb = HY_ATTN_LANES,
                                                   .b_panel = HY_PANEL,
                                                   .c = t->dv,
                                                   .ldc = HY_ATTN_LANES});
    hy_tile_product_columns_add(&(hy_tile_product){.m = a->D,
                                                   .n = HY_ATTN_LANES,
                                                   .k = n,
                                                   .a = q,
                                                   .lda = w->ldq,
                                                   .b = ds,
                                                   .ldb = HY_ATTN_LANES,
                                                   .b_panel = HY_PANEL,
                                                   .c = t->dk,
                                                   .ldc = HY_ATTN_LANES});
    hy_tile_product_rows_add(&(hy_tile_product){.m = n,
                                                .n = w->panels,
                                                .k = HY_ATTN_LANES,
                                                .a = ds,
                                                .lda = HY_ATTN_LANES,
                                                .b = t->k_rows,
                                                .ldb = w->ldk,
                                                .b_panel = HY_PANEL,
                                                .c = w->dq + from * w->panels,
                                                .ldc = w->panels});
}

static void tile_step(const hy_attn_block *a, const scratch *w, const query_rows *r, const key_tile *t) {
    int64_t from, to;
    if (!query_rows_seeing(r, t->key, t->count, &from, &to))
        return;
    hy_tile_product_rows_set(&(hy_tile_product){.m = to - from,
                                                .n = HY_ATTN_LANES,
                                                .k = a->D,
                                                .a = w->q + from * w->ldq,
                                                .lda = w->ldq,
                                                .b = t->k_lanes,
                                                .ldb = HY_PANEL,
                                                .b_panel = a->D * HY_PANEL,
                                                .c = w->s + from * HY_ATTN_LANES,
                                                .ldc = HY_ATTN_LANES});
    hy_tile_product_rows_set(&(hy_tile_product){.m = to - from,
                                                .n = HY_ATTN_LANES,
                                                .k = a->DV,
                                                .a = w->d_o + from * w->ldo,
                                                .lda = w->ldo,
                                                .b = t->v_lanes,
                                                .ldb = HY_PANEL,
                                                .b_panel = a->DV * HY_PANEL,
                                                .c = w->ds + from * HY_ATTN_LANES,
                                                .ldc = HY_ATTN_LANES});
    if (r->first[to - 1] > t->key || r->end[from] < t->key + HY_ATTN_LANES)
        score_gradient(w, r, t->key, from, to, 1);
    else
        score_gradient(w, r, t->key, from, to, 0);
    products(a, w, t, from, to - from);
}

#endif
