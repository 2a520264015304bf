/* The forward step over a chunk of recur_tiles.h. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_TILES_FWD_H
#define HY_KERNELS_CPU_SIMD_RECUR_TILES_FWD_H

#include "kernels/cpu/simd/recur_tiles.h"

typedef struct hy_tiles_step {
    hy_bf16 *o; /* [T,HV,V] or NULL */
    hy_tiles_chunk chunk;
    hy_mat x;           /* [K,V] the state */
    hy_half_mat xp;     /* [K/2,V,2] */
    hy_mat read, error; /* [64,V] q X, then o; k X, then v − that, then less what a block takes from those before it */
    hy_mat e;           /* [64,V] v, then e */
    hy_half_mat ep, zp; /* [32,V,2] e; what the state receives */
    float *factor;      /* [64] */
} hy_tiles_step;

static void hy_tiles_step_layout(hy_tiles_step *f, const hy_scan *s, hy_scratch *m) {
    hy_tiles_chunk_layout(&f->chunk, s, m);
    const int64_t K = f->chunk.K, V = f->chunk.V, N = HY_TILES_CHUNK;
    f->x = hy_scratch_mat(m, K, V);
    f->xp = hy_tiles_take(m, K / 2, 2 * V);
    f->read = hy_scratch_mat(m, N, V);
    f->error = hy_scratch_mat(m, N, V);
    f->e = hy_scratch_mat(m, N, V);
    f->ep = hy_tiles_take(m, N / 2, 2 * V);
    f->zp = hy_tiles_take(m, N / 2, 2 * V);
    f->factor = hy_scratch_take(m, N);
}

/* The state before a run: S0[s0], or zero. */
static void hy_tiles_step_begin(hy_tiles_step *f, const hy_scan *s, const float *S0) {
    const int64_t K = s->a->K, V = s->a->V;
    const int given = S0 && s->run.s0 >= 0;
    hy_mat_read(f->x, given ? S0 + hy_scan_state_at(s, s->run.s0) : NULL, V, (hy_shape){f->chunk.K, f->chunk.V, 0},
                given ? K : 0, given ? V : 0);
}

/* e = (I + M diag b)^-1 (v − e^G k X), block by block. */
static void hy_tiles_step_solve(hy_tiles_step *f) {
    hy_tiles_chunk *c = &f->chunk;
    hy_tiles_inverses(c);
    hy_tiles_weights_m(c, NULL, c->b);
    hy_tiles_set(f->error, c->k, f->xp, (hy_shape){HY_TILES_CHUNK, c->V, c->K});
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++) {
        const hy_vec er = hy_vec_set(c->er[i]);
        for (int64_t j = 0; j < c->V; j += HY_VL) {
            float *at = hy_mat_at(f->error, i, j).p;
            hy_vec_store(at, hy_vec_load(hy_mat_at(f->e, i, j).p) - er * hy_vec_load(at));
        }
    }
    for (int64_t block = 0; block < HY_TILES_BLOCKS; block++) {
        const int64_t first = block * HY_CHUNK;
        const hy_mat error = hy_mat_at(f->error, first, 0);
        hy_mul_ab_add(error, hy_mat_at(c->m, first, 0), f->e, (hy_shape){HY_CHUNK, c->V, first}, NULL);
        hy_small_inverse(c->t, c->w + block * 256, NULL, c->b + first);
        hy_mul_ab(hy_mat_at(f->e, first, 0), hy_small_mat(c->t), error, (hy_shape){HY_CHUNK, c->V, HY_CHUNK}, NULL);
    }
}

/* o = scale·e^G·(q X) + P diag(b) e */
static void hy_tiles_step_output(hy_tiles_step *f, const hy_scan *s) {
    hy_tiles_chunk *c = &f->chunk;
    hy_half_pairs_of(f->ep, f->e, NULL, HY_TILES_CHUNK, c->V);
    hy_tiles_weights_p(c, s, c->b);
    hy_tiles_set(f->read, c->q, f->xp, (hy_shape){HY_TILES_CHUNK, c->V, c->K});
    hy_tiles_scale(f->read, c->er, s->scale, HY_TILES_CHUNK, c->V);
    hy_tiles_lower_add(f->read, c->p, f->ep, c->V);
    hy_mat_write(f->o + hy_scan_v_at(s, c->begin), s->a->HV * s->a->V, f->read, c->len, s->a->V);
}

/* X = e^{Gn} X + kᵀ diag(b e^{Gn−G}) e */
static void hy_tiles_step_state(hy_tiles_step *f) {
    hy_tiles_chunk *c = &f->chunk;
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++)
        f->factor[i] = c->b[i] * c->ew[i];
    hy_half_pairs_of(f->zp, f->e, f->factor, HY_TILES_CHUNK, c->V);
    hy_tiles_scale(f->x, NULL, c->d, c->K, c->V);
    hy_tiles_add(f->x, c->turned, f->zp, (hy_shape){c->K, c->V, HY_TILES_CHUNK});
}

/* One chunk from token `begin` on; returns its length. */
static int64_t hy_tiles_step_run(hy_tiles_step *f, const hy_scan *s, int64_t begin) {
    hy_tiles_chunk *c = &f->chunk;
    const int64_t len = hy_segment_rest(s, begin);
    hy_tiles_prepare(c, s, begin, len, f->o != NULL);
    hy_mat_read(f->e, (const hy_bf16 *)s->a->v + hy_scan_v_at(s, begin), s->a->HV * s->a->V,
                (hy_shape){HY_TILES_CHUNK, c->V, 0}, len, s->a->V);
    if (f->o || s->delta)
        hy_half_pairs_of(f->xp, f->x, NULL, c->K, c->V);
    if (s->delta)
        hy_tiles_step_solve(f);
    if (f->o)
        hy_tiles_step_output(f, s);
    hy_tiles_step_state(f);
    return len;
}

#endif
