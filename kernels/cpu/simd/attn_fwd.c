/* Softmax attention forward over one block of keys, merged into the running (o, lse). Per tile of 64 queries (lanes)
 * and per 96 keys (rows), with scores s = scale·log2(e)·k·q, so that exponentials are powers of 2: m' = max(m, max_j
 * s_j);  p_j = 2^(s_j − m');  α = 2^(m − m');  l = α l + Σ p_j;  O = α O + Σ v_j p_j (Milakov & Gimelshein 2018; Dao et
 * al. 2022). The start is the running result itself: m = lse·log2(e), l = 1, O = o. Masked scores are LOW and m never
 * falls below FLOOR > LOW, so a query without visible keys has p = 0 and l unchanged. */
#include <omp.h>

#include "kernels/cpu/simd/attn.h"
#include "kernels/cpu/simd/vec_math.h"

#define LOW   -1e30f
#define FLOOR -1e29f

/* Tiles that share each packed piece of keys and values. */
#define TILES 4

typedef struct query_tile {
    int64_t head, query, count; /* queries query .. query + count − 1 */
    int64_t begin, end;         /* keys that some query sees */
    int64_t all_begin, all_end; /* keys that every query sees */
    float *q, *o;               /* panels [D,HY_PANEL]; [DV,64] */
    float max[HY_ATTN_LANES], sum[HY_ATTN_LANES], alpha[HY_ATTN_LANES];
    int32_t first[HY_ATTN_LANES], last[HY_ATTN_LANES]; /* lane i sees first ≤ key < last */
} query_tile;

typedef struct scratch {
    float *k, *v; /* [96,D], [96,DV] */
    int64_t ldk, ldv;
    float *s;  /* [96,64] */
    float *qo; /* TILES times q and o */
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
    w.qo = work;
    return w;
}

static void tile_begin(const hy_attn_block *a, query_tile *t) {
    const hy_elem *q = (const hy_elem *)a->q + (t->query * a->H + t->head) * a->D;
    const float *o = (const float *)a->o + (t->query * a->H + t->head) * a->DV;
    const float *lse = (const float *)a->lse + t->query * a->H + t->head;
    int64_t last = t->query + t->count - 1;
    t->begin = hy_attn_first(a, t->query);
    t->end = hy_attn_end(a, last);
    t->all_begin = hy_attn_first(a, last);
    t->all_end = hy_attn_end(a, t->query);
    for (int64_t i = 0; i < HY_ATTN_LANES; i++) {
        int used = i < t->count;
        int started = used && lse[i * a->H] > -INFINITY;
        t->first[i] = used ? (int32_t)hy_attn_first(a, t->query + i) : 0;
        t->last[i] = used ? (int32_t)hy_attn_end(a, t->query + i) : 0;
        t->max[i] = started ? fmaxf((float)(lse[i * a->H] * HY_LOG2E), FLOOR) : FLOOR;
        t->sum[i] = started ? 1.0f : 0.0f;
        for (int64_t c = 0; c < a->DV; c++)
            t->o[c * HY_ATTN_LANES + i] = started ? o[i * a->H * a->DV + c] : 0.0f;
    }
    hy_attn_pack_lanes(t->q, q, a->H * a->D, t->count, a->D, (float)(a->scale * HY_LOG2E));
}

static void tile_end(const hy_attn_block *a, const query_tile *t) {
    float *o = (float *)a->o + (t->query * a->H + t->head) * a->DV;
    float *lse = (float *)a->lse + t->query * a->H + t->head;
    for (int64_t i = 0; i < t->count; i++) {
        if (t->first[i] >= t->last[i])
            continue;
        float inverse = 1.0f / t->sum[i];
        lse[i * a->H] = (float)((t->max[i] + log2((double)t->sum[i])) / HY_LOG2E);
        for (int64_t c = 0; c < a->DV; c++)
            o[i * a->H * a->DV + c] = t->o[c * HY_ATTN_LANES + i] * inverse;
    }
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

/* Keys key .. key + n − 1, whose rows begin at k and v. */
static void tile_step(const hy_attn_block *a, const scratch *w, query_tile *t, const float *k, const float *v,
                      int64_t n, int64_t key) {
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

/* Up to TILES tiles of query heads that read key head `kv_head`; tile x is head x % group of that key head's group,
 * query tile x / group. */
static void unit_run(const hy_attn_block *a, scratch *w, int64_t kv_head, int64_t x_begin, int64_t x_end) {
    int64_t group = a->H / a->HKV, count = x_end - x_begin, begin = a->nk, end = 0;
    query_tile tiles[TILES];
    for (int64_t x = 0; x < count; x++) {
        query_tile *t = &tiles[x];
        t->head = kv_head * group + (x_begin + x) % group;
        t->query = (x_begin + x) / group * HY_ATTN_LANES;
        t->count = a->nq - t->query < HY_ATTN_LANES ? a->nq - t->query : HY_ATTN_LANES;
        t->q = w->qo + x * HY_ATTN_LANES * (a->D + a->DV);
        t->o = t->q + HY_ATTN_LANES * a->D;
        tile_begin(a, t);
        begin = t->begin < begin ? t->begin : begin;
        end = t->end > end ? t->end : end;
    }
    for (int64_t key = begin; key < end; key += HY_ATTN_ROWS) {
        int64_t n = end - key < HY_ATTN_ROWS ? end - key : HY_ATTN_ROWS;
        hy_attn_copy_rows(w->k, w->ldk, (const hy_elem *)a->k + (key * a->HKV + kv_head) * a->D, a->HKV * a->D, n,
                          a->D);
        hy_attn_copy_rows(w->v, w->ldv, (const hy_elem *)a->v + (key * a->HKV + kv_head) * a->DV, a->HKV * a->DV, n,
                          a->DV);
        for (int64_t x = 0; x < count; x++) {
            query_tile *t = &tiles[x];
            int64_t from = t->begin > key ? t->begin - key : 0, to = t->end < key + n ? t->end - key : n;
            if (from < to)
                tile_step(a, w, t, w->k + from * w->ldk, w->v + from * w->ldv, to - from, key + from);
        }
    }
    for (int64_t x = 0; x < count; x++)
        tile_end(a, &tiles[x]);
}

void HY_ISA_NAME(hy_attn_fwd)(const hy_attn_block *a) {
    if (a->nq == 0 || a->nk == 0)
        return;
    int64_t tiles = (a->nq + HY_ATTN_LANES - 1) / HY_ATTN_LANES * (a->H / a->HKV);
    int64_t units = (tiles + TILES - 1) / TILES;
#pragma omp parallel
    {
        scratch w = scratch_of(a, omp_get_thread_num());
        /* Late queries see more keys: the longest units first. A unit's result does not depend on its thread. */
#pragma omp for schedule(dynamic, 1)
        for (int64_t x = 0; x < units * a->HKV; x++) {
            int64_t begin = (units - 1 - x / a->HKV) * TILES;
            unit_run(a, &w, x % a->HKV, begin, begin + TILES < tiles ? begin + TILES : tiles);
        }
    }
}
