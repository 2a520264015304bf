/* Softmax attention backward over one block of keys (Dao et al. 2022), from the final lse and delta_i = Σ_c do_ic o_ic:
 *   P_ij = exp(scale·q_i·k_j − lse_i);  dS = P ∘ (dO Vᵀ − delta)
 *   dV += Pᵀ dO;  dK += scale·dSᵀ Q;  dQ += scale·dS K
 * A unit is a key head and KEYS of its keys (in lanes; dK and dV stay in cache); the queries of all its query heads
 * stream past in rows. dQ is the one output that several units add to: they do so in the order of their keys, whatever
 * the number of threads, so gradients do not depend on it. A thread that comes early waits for the unit before it. */
#include <omp.h>
#include <sched.h>

#if HY_ISA_amx
#include "kernels/cpu/simd/attn_bwd_tiles.h"
#else
#include "kernels/cpu/simd/attn_bwd_lanes.h"
#endif

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
    r->count = a->nq - query < ROWS ? a->nq - query : ROWS;
    int64_t at = query * a->H + head;
    for (int64_t i = 0; i < r->count; i++) {
        r->lse[i] = (float)(((const float *)a->lse)[at + i * a->H] * HY_LOG2E);
        r->delta[i] = ((const float *)a->delta)[at + i * a->H];
        r->first[i] = (int32_t)hy_attn_first(a, query + i);
        r->end[i] = (int32_t)hy_attn_end(a, query + i);
    }
    for (int64_t i = r->count; i < ROWS; i++) {
        r->lse[i] = 1e30f;
        r->delta[i] = 0;
        r->first[i] = r->end[i] = 0;
    }
    rows_read(a, w, r, at);
    memset(w->dq, 0, (size_t)(ROWS * w->panels) * sizeof(float));
}

static void rows_end(const hy_attn_block *a, const scratch *w, const query_rows *r, int64_t head, int64_t query) {
    const float scale = (float)a->scale;
    for (int64_t i = 0; i < r->count; i++) {
        float *y = (float *)a->dq + ((query + i) * a->H + head) * a->D;
        for (int64_t c = 0; c < a->D; c++)
            y[c] += scale * w->dq[i * w->panels + c];
    }
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

static void attn_bwd_unit(const team *m, scratch *w, int64_t unit) {
    const hy_attn_block *a = m->args;
    int64_t kv_head = unit % a->HKV, key = unit / a->HKV * KEYS, group = a->H / a->HKV;
    int64_t key_end = key + KEYS < a->nk ? key + KEYS : a->nk;
    int64_t begin = hy_attn_clamp(key + a->k_begin - a->q_begin, 0, a->nq), end = query_behind(a, key_end);
    for (int x = 0; x < TILES; x++)
        keys_begin(a, w, &w->keys[x], kv_head, key + x * HY_ATTN_LANES);
    query_rows rows;
    for (int64_t tile = begin / ROWS; tile * ROWS < end; tile++) {
        int64_t query = tile * ROWS;
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
    int64_t query_tiles = (a->nq + ROWS - 1) / ROWS;
#pragma omp parallel
    {
        team m = {omp_get_thread_num(), omp_get_num_threads(), query_tiles, a};
        scratch w = scratch_of(a, m.thread);
        hy_attn_thread_begin();
        team_tell(&m, 0, 0);
#pragma omp barrier
        for (int64_t unit = m.thread; unit < units; unit += m.threads)
            attn_bwd_unit(&m, &w, unit);
        hy_attn_thread_end();
    }
}
