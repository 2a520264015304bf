/* Softmax attention forward over one block of keys, merged into the running (o, lse). Per tile of 64 queries (lanes)
 * and per 96 keys (rows), with scores s = scale·log2(e)·k·q, so that exponentials are powers of 2: m' = max(m, max_j
 * s_j);  p_j = 2^(s_j − m');  α = 2^(m − m');  l = α l + Σ p_j;  O = α O + Σ v_j p_j (Milakov & Gimelshein 2018; Dao et
 * al. 2022). The start is the running result itself: m = lse·log2(e), l = 1, O = o. Masked scores are LOW and m never
 * falls below FLOOR > LOW, so a query without visible keys has p = 0 and l unchanged. */
#include <omp.h>

#if HY_ISA_amx
#include "kernels/cpu/simd/attn_fwd_tiles.h"
#else
#include "kernels/cpu/simd/attn_fwd_lanes.h"
#endif

static void tile_begin(const hy_attn_block *a, const scratch *w, query_tile *t) {
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
    queries_read(a, w, t);
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

/* Up to TILES tiles of query heads that read key head `kv_head`; tile x is head x % group of that key head's group,
 * query tile x / group. */
static void attn_fwd_unit(const hy_attn_block *a, scratch *w, int64_t kv_head, int64_t x_begin, int64_t x_end) {
    int64_t group = a->H / a->HKV, count = x_end - x_begin, begin = a->nk, end = 0;
    query_tile tiles[TILES];
    for (int64_t x = 0; x < count; x++) {
        query_tile *t = &tiles[x];
        t->head = kv_head * group + (x_begin + x) % group;
        t->query = (x_begin + x) / group * HY_ATTN_LANES;
        t->count = a->nq - t->query < HY_ATTN_LANES ? a->nq - t->query : HY_ATTN_LANES;
        t->q = w->q[x];
        t->o = w->o[x];
        tile_begin(a, w, t);
        begin = t->begin < begin ? t->begin : begin;
        end = t->end > end ? t->end : end;
    }
    for (int64_t key = begin; key < end; key += KEYS) {
        int64_t n = end - key < KEYS ? end - key : KEYS;
        keys_read(a, w, kv_head, key, n);
        for (int64_t x = 0; x < count; x++) {
            query_tile *t = &tiles[x];
            int64_t from = t->begin > key ? t->begin - key : 0, to = t->end < key + n ? t->end - key : n;
            if (from < to)
                tile_step(a, w, t, from, to, key);
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
        hy_attn_thread_begin();
        /* Late queries see more keys: the longest units first. A unit's result does not depend on its thread. */
#pragma omp for schedule(dynamic, 1)
        for (int64_t x = 0; x < units * a->HKV; x++) {
            int64_t begin = (units - 1 - x / a->HKV) * TILES;
            attn_fwd_unit(a, &w, x % a->HKV, begin, begin + TILES < tiles ? begin + TILES : tiles);
        }
        hy_attn_thread_end();
    }
}
