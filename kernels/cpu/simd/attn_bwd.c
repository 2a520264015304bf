/* Softmax attention backward over one block of keys (Dao et al. 2022), from the final lse and delta_i = Σ_c do_ic o_ic:
 *   P_ij = exp(scale·q_i·k_j − lse_i);  dS = P ∘ (dO Vᵀ − delta)
 *   dV += Pᵀ dO;  dK += scale·dSᵀ Q;  dQ += scale·dS K
 * A unit is a key head and KEYS of its keys (in lanes; dK and dV stay in cache); the queries of all its query heads
 * stream past in rows. dQ is the one output that several units add to: they do so in the order of their keys, whatever
 * the number of threads, so gradients do not depend on it. A thread that comes early waits for the unit before it. */
#include <omp.h>
#include <sched.h>

#include "kernels/cpu/simd/attn.h"
#include "kernels/cpu/simd/vec_math.h"

#define TILES 2
#define KEYS  (TILES * HY_ATTN_LANES)

typedef struct key_tile {
    int64_t key, count;
    float *k_lanes, *v_lanes; /* panels [D,HY_PANEL] (times scale·log2 e), [DV,HY_PANEL] */
    float *k_rows;            /* [64,D], zeros to a whole panel */
    float *dk, *dv;           /* [D,64], [DV,64] */
} key_tile;

/* A tile of queries of one head. */
typedef struct query_rows {
    int64_t count;
    float lse[HY_ATTN_ROWS], delta[HY_ATTN_ROWS]; /* lse in powers of 2 */
    int32_t first[HY_ATTN_ROWS], end[HY_ATTN_ROWS];
} query_rows;

typedef struct scratch {
    int64_t ldq, ldo, ldk, panels; /* panels: D rounded up to whole panels */
    float *q, *d_o, *dq;           /* [96,D], [96,DV], [96,panels] */
    float *s, *ds;                 /* [96,64] */
    key_tile keys[TILES];
} scratch;

/* Where each thread is: units in its order, then tiles of queries. One cache line per thread. */
typedef struct progress {
    _Alignas(64) int64_t done;
} progress;

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

/* y[j,c] += scale·x[c,j] */
static void add_transposed(float *y, int64_t ld, const float *x, int64_t n, int64_t cols, float scale) {
    for (int64_t j = 0; j < n; j++) {
        for (int64_t c = 0; c < cols; c++)
            y[j * ld + c] += scale * x[c * HY_ATTN_LANES + j];
    }
}

static void keys_end(const hy_attn_block *a, const key_tile *t, int64_t kv_head) {
    int64_t row = t->key * a->HKV + kv_head;
    add_transposed((float *)a->dk + row * a->D, a->HKV * a->D, t->dk, t->count, a->D, (float)a->scale);
    add_transposed((float *)a->dv + row * a->DV, a->HKV * a->DV, t->dv, t->count, a->DV, 1.0f);
}

static void rows_begin(const hy_attn_block *a, const scratch *w, query_rows *r, int64_t head, int64_t query) {
    r->count = a->nq - query < HY_ATTN_ROWS ? a->nq - query : HY_ATTN_ROWS;
    int64_t at = query * a->H + head;
    for (int64_t i = 0; i < r->count; i++) {
        r->lse[i] = (float)(((const float *)a->lse)[at + i * a->H] * HY_LOG2E);
        r->delta[i] = ((const float *)a->delta)[at + i * a->H];
        r->first[i] = (int32_t)hy_attn_first(a, query + i);
        r->end[i] = (int32_t)hy_attn_end(a, query + i);
    }
    hy_attn_copy_rows(w->q, w->ldq, (const hy_elem *)a->q + at * a->D, a->H * a->D, r->count, a->D);
    hy_attn_copy_rows(w->d_o, w->ldo, (const hy_elem *)a->d_o + at * a->DV, a->H * a->DV, r->count, a->DV);
    memset(w->dq, 0, (size_t)(r->count * w->panels) * sizeof(float));
}

static void rows_end(const hy_attn_block *a, const scratch *w, const query_rows *r, int64_t head, int64_t query) {
    const float scale = (float)a->scale;
    for (int64_t i = 0; i < r->count; i++) {
        float *y = (float *)a->dq + ((query + i) * a->H + head) * a->D;
        for (int64_t c = 0; c < a->D; c++)
            y[c] += scale * w->dq[i * w->panels + c];
    }
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
    int64_t from = 0, to = r->count;
    while (from < to && r->end[from] <= t->key)
        from++;
    while (to > from && r->first[to - 1] >= t->key + t->count)
        to--;
    if (from == to)
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

/* The first query whose keys all lie at or behind `key`. */
static int64_t query_behind(const hy_attn_block *a, int64_t key) {
    int64_t low = 0, high = a->nq;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (a->lo[middle] - a->k_begin >= key)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

typedef struct team {
    int thread, threads;
    int64_t query_tiles;
    const hy_attn_block *args;
} team;

static progress *progress_of(const team *m, int64_t thread) {
    return (progress *)hy_attn_work_of(m->args, HY_ISA_NAME(hy_attn_bwd_floats)(m->args->D, m->args->DV), (int)thread);
}

/* Unit u = (piece of keys)·HKV + key head runs on thread u % threads. Its predecessor in dq is u − HKV. */
static void team_wait(const team *m, int64_t unit, int64_t query_tile) {
    int64_t before = unit - m->args->HKV;
    if (before < 0 || before % m->threads == m->thread)
        return;
    progress *p = progress_of(m, before % m->threads);
    while (__atomic_load_n(&p->done, __ATOMIC_ACQUIRE) <= before * m->query_tiles + query_tile)
        sched_yield();
}

static void team_tell(const team *m, int64_t unit, int64_t query_tile) {
    __atomic_store_n(&progress_of(m, m->thread)->done, unit * m->query_tiles + query_tile, __ATOMIC_RELEASE);
}

static void unit_run(const team *m, scratch *w, int64_t unit) {
    const hy_attn_block *a = m->args;
    int64_t kv_head = unit % a->HKV, key = unit / a->HKV * KEYS, group = a->H / a->HKV;
    int64_t key_end = key + KEYS < a->nk ? key + KEYS : a->nk;
    int64_t begin = hy_attn_clamp(key + a->k_begin - a->q_begin, 0, a->nq), end = query_behind(a, key_end);
    for (int x = 0; x < TILES; x++)
        keys_begin(a, w, &w->keys[x], kv_head, key + x * HY_ATTN_LANES);
    query_rows rows;
    for (int64_t tile = begin / HY_ATTN_ROWS; tile * HY_ATTN_ROWS < end; tile++) {
        int64_t query = tile * HY_ATTN_ROWS;
        team_wait(m, unit, tile);
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            rows_begin(a, w, &rows, head, query);
            for (int x = 0; x < TILES; x++)
                tile_step(a, w, &rows, &w->keys[x]);
            rows_end(a, w, &rows, head, query);
        }
        team_tell(m, unit, tile + 1);
    }
    for (int x = 0; x < TILES; x++)
        keys_end(a, &w->keys[x], kv_head);
    team_tell(m, unit, m->query_tiles);
}

void HY_ISA_NAME(hy_attn_bwd)(const hy_attn_block *a) {
    if (a->nq == 0 || a->nk == 0)
        return;
    int64_t units = (a->nk + KEYS - 1) / KEYS * a->HKV;
    int64_t query_tiles = (a->nq + HY_ATTN_ROWS - 1) / HY_ATTN_ROWS;
#pragma omp parallel
    {
        team m = {omp_get_thread_num(), omp_get_num_threads(), query_tiles, a};
        scratch w = scratch_of(a, m.thread);
        team_tell(&m, 0, 0);
#pragma omp barrier
        for (int64_t unit = m.thread; unit < units; unit += m.threads)
            unit_run(&m, &w, unit);
    }
}
