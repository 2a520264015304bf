/* Attention forward on AMX tiles (amx.h): scores [keys,queries] = K Qᵀ, then O [DV,queries] += Vᵀ P, so that queries stay in lanes
 * and P, rounded to bf16, is written in the pairs of rows that the second product wants. Maxima, sums and O are float. The
 * maximum that a tile's exponentials refer to moves only when scores exceed it by RISE: until then O need not be rescaled, and
 * what is at most 2^RISE costs neither bf16 nor float any digits. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_FWD_TILES_H
#define HY_KERNELS_CPU_SIMD_ATTN_FWD_TILES_H

#include "kernels/cpu/simd/amx.h"
#include "kernels/cpu/simd/attn_fwd.h"

#define KEYS 64 /* read at a time */
#define RISE 8.0f
#define VECS (HY_ATTN_LANES / HY_VL)

typedef struct scratch {
    hy_half_mat k;  /* [KEYS,D] */
    hy_half_mat v;  /* [KEYS,DV], then */
    hy_half_mat vp; /* [KEYS/2,DV,2], then */
    hy_half_mat vt; /* [DV,KEYS] */
    hy_mat s;       /* [KEYS,64] */
    hy_half_mat p;  /* [KEYS/2,64,2] */
    int64_t D, DV;  /* in whole pairs of tiles */
    float *q[TILES], *o[TILES];
} scratch;

size_t HY_ISA_NAME(hy_attn_fwd_floats)(int64_t D, int64_t DV) {
    const int64_t keys = KEYS * (hy_round32(D) / 2 + 3 * hy_round32(DV) / 2 + HY_ATTN_LANES + HY_ATTN_LANES / 2);
    return (size_t)(keys + TILES * HY_ATTN_LANES * (hy_round32(D) / 2 + hy_round32(DV)));
}

static scratch scratch_of(const hy_attn_block *a, int thread) {
    float *work = hy_attn_work_of(a, HY_ISA_NAME(hy_attn_fwd_floats)(a->D, a->DV), thread);
    scratch w = {.D = hy_round32(a->D), .DV = hy_round32(a->DV)};
    w.k = hy_attn_take_half(&work, KEYS, w.D);
    w.v = hy_attn_take_half(&work, KEYS, w.DV);
    w.vp = hy_attn_take_half(&work, KEYS / 2, 2 * w.DV);
    w.vt = hy_attn_take_half(&work, w.DV, KEYS);
    w.s = (hy_mat){hy_attn_take(&work, KEYS * HY_ATTN_LANES), HY_ATTN_LANES};
    w.p = hy_attn_take_half(&work, KEYS / 2, 2 * HY_ATTN_LANES);
    for (int x = 0; x < TILES; x++) {
        w.q[x] = hy_attn_take(&work, HY_ATTN_LANES * w.D / 2);
        w.o[x] = hy_attn_take(&work, HY_ATTN_LANES * w.DV);
    }
    return w;
}

HY_INLINE hy_half_mat tile_queries(const query_tile *t) {
    return (hy_half_mat){(uint16_t *)(void *)t->q, 2 * HY_ATTN_LANES};
}

/* In pairs of rows of the transpose, [D/2,64,2]. The rows of O that DV has not are read by products. */
static void queries_read(const hy_attn_block *a, const scratch *w, query_tile *t) {
    hy_half_read(w->k, (const hy_bf16 *)a->q + (t->query * a->H + t->head) * a->D, a->H * a->D, HY_ATTN_LANES, w->D,
                 t->count, a->D);
    hy_half_turn(tile_queries(t), w->k, HY_ATTN_LANES, w->D / 2);
    memset(t->o + a->DV * HY_ATTN_LANES, 0, (size_t)((w->DV - a->DV) * HY_ATTN_LANES) * sizeof(float));
}

static void keys_read(const hy_attn_block *a, const scratch *w, int64_t kv_head, int64_t key, int64_t n) {
    const int64_t row = key * a->HKV + kv_head;
    hy_half_read(w->k, (const hy_bf16 *)a->k + row * a->D, a->HKV * a->D, KEYS, w->D, n, a->D);
    hy_half_read(w->v, (const hy_bf16 *)a->v + row * a->DV, a->HKV * a->DV, KEYS, w->DV, n, a->DV);
    hy_half_pair(w->vp, w->v, KEYS, w->DV);
    hy_half_turn(w->vt, w->vp, KEYS / 2, w->DV);
}

/* Lanes v of the tile that see key `at`. */
HY_INLINE hy_ivec seen(const query_tile *t, int v, int64_t at) {
    hy_ivec first, last, key = hy_ivec_set((int32_t)at);
    memcpy(&first, t->first + v * HY_VL, sizeof first);
    memcpy(&last, t->last + v * HY_VL, sizeof last);
    return (hy_ivec)(first <= key) & (hy_ivec)(key < last);
}

/* The tile's maxima follow if n rows of scores exceed them by far; sums and O with them. */
HY_INLINE void raise_maxima(const scratch *w, query_tile *t, const float *s, int64_t n, int64_t key, hy_vec scale,
                            const int masked) {
    hy_vec max[VECS];
    int far = 0;
    HY_UNROLL
    for (int v = 0; v < VECS; v++)
        max[v] = hy_vec_set(LOW);
    for (int64_t j = 0; j < n; j++) {
        HY_UNROLL
        for (int v = 0; v < VECS; v++) {
            hy_vec x = hy_vec_load(s + j * HY_ATTN_LANES + v * HY_VL) * scale;
            if (masked)
                x = hy_vec_select(seen(t, v, key + j), x, hy_vec_set(LOW));
            max[v] = hy_vec_max(max[v], x);
        }
    }
    HY_UNROLL
    for (int v = 0; v < VECS; v++)
        far |= hy_vec_max_lane(max[v] - hy_vec_load(t->max + v * HY_VL)) > RISE;
    if (!far)
        return;
    HY_UNROLL
    for (int v = 0; v < VECS; v++) {
        const hy_vec old = hy_vec_load(t->max + v * HY_VL), next = hy_vec_max(max[v], old),
                     alpha = hy_vec_exp2(old - next);
        hy_vec_store(t->max + v * HY_VL, next);
        hy_vec_store(t->sum + v * HY_VL, hy_vec_load(t->sum + v * HY_VL) * alpha);
        for (int64_t c = 0; c < w->DV; c++) {
            float *o = t->o + c * HY_ATTN_LANES + v * HY_VL;
            hy_vec_store(o, hy_vec_load(o) * alpha);
        }
    }
}

/* p of n rows of scores, in pairs of rows. */
HY_INLINE void exponentials(query_tile *t, uint16_t *p, const float *s, int64_t n, int64_t key, hy_vec scale,
                            const int masked) {
    hy_vec max[VECS], sum[VECS];
    HY_UNROLL
    for (int v = 0; v < VECS; v++) {
        max[v] = hy_vec_load(t->max + v * HY_VL);
        sum[v] = hy_vec_load(t->sum + v * HY_VL);
    }
    for (int64_t j = 0; j < n; j += 2, p += 2 * HY_ATTN_LANES, s += 2 * HY_ATTN_LANES) {
        HY_UNROLL
        for (int v = 0; v < VECS; v++) {
            hy_vec x = hy_vec_exp2(hy_vec_load(s + v * HY_VL) * scale - max[v]);
            hy_vec y = hy_vec_exp2(hy_vec_load(s + HY_ATTN_LANES + v * HY_VL) * scale - max[v]);
            if (masked) {
                x = hy_vec_select(seen(t, v, key + j), x, hy_vec_zero());
                y = hy_vec_select(seen(t, v, key + j + 1), y, hy_vec_zero());
            }
            sum[v] += x + y;
            hy_half_put_pair(p + 2 * v * HY_VL, x, y);
        }
    }
    HY_UNROLL
    for (int v = 0; v < VECS; v++)
        hy_vec_store(t->sum + v * HY_VL, sum[v]);
}

/* Keys from .. to − 1 of those read, the first of which is `key`; whole pairs of tiles, masked where that is more. */
static void tile_step(const hy_attn_block *a, const scratch *w, query_tile *t, int64_t from, int64_t to, int64_t key) {
    from = from / 32 * 32;
    to = hy_round32(to);
    key += from;
    const int64_t n = to - from;
    const hy_vec scale = hy_vec_set((float)(a->scale * HY_LOG2E));
    hy_tiles_set(w->s, (hy_half_mat){w->k.p + from * w->k.ld, w->k.ld}, tile_queries(t),
                 (hy_shape){n, HY_ATTN_LANES, w->D});
    if (key < t->all_begin || key + n > t->all_end) {
        raise_maxima(w, t, w->s.p, n, key, scale, 1);
        exponentials(t, w->p.p, w->s.p, n, key, scale, 1);
    } else {
        raise_maxima(w, t, w->s.p, n, key, scale, 0);
        exponentials(t, w->p.p, w->s.p, n, key, scale, 0);
    }
    hy_tiles_add((hy_mat){t->o, HY_ATTN_LANES}, (hy_half_mat){w->vt.p + from, w->vt.ld}, w->p,
                 (hy_shape){w->DV, HY_ATTN_LANES, n});
}

#endif
