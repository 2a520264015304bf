/* Attention forward on float vectors: lanes are queries, rows are keys, which are broadcast. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_FWD_LANES_H
#define HY_KERNELS_CPU_SIMD_ATTN_FWD_LANES_H

#include "kernels/cpu/simd/attn_fwd.h"

#define KEYS HY_ATTN_ROWS /* read at a time */

typedef struct scratch {
    float *k, *v; /* [96,D], [96,DV] */
    int64_t ldk, ldv;
    float *s;                   /* [96,64] */
    float *q[TILES], *o[TILES]; /* of the tiles */
} scratch;

size_t HY_ISA_NAME(hy_attn_fwd_floats)(int64_t D, int64_t DV) {
    int64_t rows = HY_ATTN_ROWS * (hy_attn_ld(D) + hy_attn_ld(DV) + HY_ATTN_LANES);
    return (size_t)(rows + TILES * HY_ATTN_LANES * (D + DV));
}

static scratch scratch_of(const hy_attn_block *a, int thread) {
    float *work = hy_attn_work_of(a, HY_ISA_NAME(hy_attn_fwd_floats)(a->D, a->DV), thread);
    scratch w = {.ldk = hy_attn_ld(a->D), .ldv = hy_attn_ld(a->DV)};
    w.k = hy_attn_take(&work, HY_ATTN_ROWS * w.ldk);
    w.v = hy_attn_take(&work, HY_ATTN_ROWS * w.ldv);
    w.s = hy_attn_take(&work, HY_ATTN_ROWS * HY_ATTN_LANES);
    for (int x = 0; x < TILES; x++) {
        w.q[x] = work + x * HY_ATTN_LANES * (a->D + a->DV);
        w.o[x] = w.q[x] + HY_ATTN_LANES * a->D;
    }
    return w;
}

/* In panels [D,HY_PANEL], scaled. */
static void queries_read(const hy_attn_block *a, const scratch *w, query_tile *t) {
    (void)w;
    hy_attn_pack_lanes(t->q, (const hy_elem *)a->q + (t->query * a->H + t->head) * a->D, a->H * a->D, t->count, a->D,
                       (float)(a->scale * HY_LOG2E));
}

static void keys_read(const hy_attn_block *a, const scratch *w, int64_t kv_head, int64_t key, int64_t n) {
    hy_attn_copy_rows(w->k, w->ldk, (const hy_elem *)a->k + (key * a->HKV + kv_head) * a->D, a->HKV * a->D, n, a->D);
    hy_attn_copy_rows(w->v, w->ldv, (const hy_elem *)a->v + (key * a->HKV + kv_head) * a->DV, a->HKV * a->DV, n, a->DV);
}

/* s becomes p for n keys from `key` on; max, sum and alpha of the tile follow. One panel of lanes. */
HY_INLINE void softmax_panel(query_tile *t, float *s, int64_t n, int64_t key, const int masked, int64_t lane) {
    hy_vec max[HY_TILE_VECS], sum[HY_TILE_VECS];
    hy_ivec first[HY_TILE_VECS], last[HY_TILE_VECS];
    HY_UNROLL
    for (int v = 0; v < HY_TILE_VECS; v++) {
        max[v] = hy_vec_load(t->max + lane + v * HY_VL);
        memcpy(&first[v], t->first + lane + v * HY_VL, sizeof first[v]);
        memcpy(&last[v], t->last + lane + v * HY_VL, sizeof last[v]);
    }
    for (int64_t j = 0; j < n; j++) {
        hy_ivec at = hy_ivec_set((int32_t)(key + j));
        HY_UNROLL
        for (int v = 0; v < HY_TILE_VECS; v++) {
            float *p = s + j * HY_ATTN_LANES + lane + v * HY_VL;
            hy_vec x = hy_vec_load(p);
            if (masked) {
                x = hy_vec_select((hy_ivec)(first[v] <= at) & (hy_ivec)(at < last[v]), x, hy_vec_set(LOW));
                hy_vec_store(p, x);
            }
            max[v] = hy_vec_max(max[v], x);
        }
    }
    HY_UNROLL
    for (int v = 0; v < HY_TILE_VECS; v++) {
        float *m = t->max + lane + v * HY_VL;
        hy_vec alpha = hy_vec_exp2(hy_vec_load(m) - max[v]);
        hy_vec_store(t->alpha + lane + v * HY_VL, alpha);
        hy_vec_store(m, max[v]);
        sum[v] = alpha * hy_vec_load(t->sum + lane + v * HY_VL);
    }
    for (int64_t j = 0; j < n; j++) {
        HY_UNROLL
        for (int v = 0; v < HY_TILE_VECS; v++) {
            float *p = s + j * HY_ATTN_LANES + lane + v * HY_VL;
            hy_vec x = hy_vec_exp2(hy_vec_load(p) - max[v]);
            sum[v] += x;
            hy_vec_store(p, x);
        }
    }
    HY_UNROLL
    for (int v = 0; v < HY_TILE_VECS; v++)
        hy_vec_store(t->sum + lane + v * HY_VL, sum[v]);
}

/* Keys from .. to − 1 of those read, the first of which is `key`. */
static void tile_step(const hy_attn_block *a, const scratch *w, query_tile *t, int64_t from, int64_t to, int64_t key) {
    const float *k = w->k + from * w->ldk, *v = w->v + from * w->ldv;
    const int64_t n = to - from;
    key += from;
    hy_tile_product_rows_set(&(hy_tile_product){.m = n,
                                                .n = HY_ATTN_LANES,
                                                .k = a->D,
                                                .a = k,
                                                .lda = w->ldk,
                                                .b = t->q,
                                                .ldb = HY_PANEL,
                                                .b_panel = a->D * HY_PANEL,
                                                .c = w->s,
                                                .ldc = HY_ATTN_LANES});
    int masked = key < t->all_begin || key + n > t->all_end;
    for (int64_t lane = 0; lane < HY_ATTN_LANES; lane += HY_PANEL) {
        if (masked)
            softmax_panel(t, w->s, n, key, 1, lane);
        else
            softmax_panel(t, w->s, n, key, 0, lane);
    }
    hy_tile_product_columns_scale_add(&(hy_tile_product){.m = a->DV,
                                                         .n = HY_ATTN_LANES,
                                                         .k = n,
                                                         .a = v,
                                                         .lda = w->ldv,
                                                         .b = w->s,
                                                         .ldb = HY_ATTN_LANES,
                                                         .b_panel = HY_PANEL,
                                                         .c = t->o,
                                                         .ldc = HY_ATTN_LANES,
                                                         .scale = t->alpha});
}

#endif
