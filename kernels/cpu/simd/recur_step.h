/* The forward step over one chunk: reads the state, writes o, advances the state (recur_chunk.h has the equations). The
 * same step makes outputs, segment maps (K more columns of state, starting from I, with v = 0 there), what a state adds
 * to o (v = 0 everywhere), and the first sweep of the backward pass (which keeps e and w). */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_STEP_H
#define HY_KERNELS_CPU_SIMD_RECUR_STEP_H

#include "kernels/cpu/simd/recur_weights.h"

typedef struct hy_step {
    const hy_elem *v; /* [T,HV,V] or NULL = 0 */
    hy_elem *o;       /* [T,HV,V] or NULL */
    int acc_o;
    float *keep_e; /* [T of the run, Vp] or NULL; delta rule only, like keep_w [T of the run, 16] */
    float *keep_w;
    int64_t width; /* columns of the state, a multiple of 16 */
    hy_chunk chunk;
    hy_small small;
    hy_mat x;      /* [K,width] the state */
    hy_mat read;   /* [32,width] (q e^G) X, then o; (k e^G) X, then v − that */
    hy_mat e;      /* [16,width] e, then what the state receives */
    float *factor; /* [16] */
} hy_step;

HY_INLINE void hy_step_layout(hy_step *f, const hy_scan *s, int64_t width, hy_scratch *m) {
    f->width = width;
    hy_chunk_layout(&f->chunk, s, m, 0);
    hy_small_layout(&f->small, m);
    f->x = hy_scratch_mat(m, s->Kp, width);
    f->read = hy_scratch_mat(m, 32, width);
    f->e = hy_scratch_mat(m, 16, width);
    f->factor = hy_scratch_take(m, 16);
}

/* v − row factor · (k X), in place; v is 0 beyond its columns and rows. */
static void hy_step_residual(hy_step *f, const hy_scan *s) {
    const hy_chunk *c = &f->chunk;
    int64_t V = s->a->V;
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        const hy_elem *v = f->v && i < c->len ? f->v + hy_scan_v_at(s, c->begin + i) : NULL;
        float *r = hy_mat_at(f->read, 16 + i, 0).p;
        hy_vec er = hy_vec_set(c->er[i]);
        for (int64_t j = 0; j < f->width; j += HY_VL) {
            hy_vec x = v && j < V ? hy_vec_load_tail(v + j, V - j) : hy_vec_zero();
            hy_vec_store(r + j, x - er * hy_vec_load(r + j));
        }
    }
}

/* e, which the additive rule takes from v. */
static void hy_step_error(hy_step *f, const hy_scan *s) {
    const hy_chunk *c = &f->chunk;
    if (!s->delta) {
        hy_mat_read(f->e, f->v + hy_scan_v_at(s, c->begin), s->a->HV * s->a->V, (hy_shape){16, f->width, 0}, c->len,
                    s->a->V);
        return;
    }
    hy_step_residual(f, s);
    hy_small_inverse(f->small.t, f->small.w, NULL, c->b);
    hy_mul_ab(f->e, hy_small_mat(f->small.t), hy_mat_at(f->read, 16, 0), (hy_shape){16, f->width, 16}, NULL);
    int64_t at = c->begin - s->run.begin;
    if (f->keep_e)
        hy_mat_write(f->keep_e + at * s->Vp, s->Vp, f->e, c->len, s->Vp);
    if (f->keep_w)
        memcpy(f->keep_w + at * 16, f->small.w, (size_t)c->len * 16 * sizeof(float));
}

/* o (+)= scale·e^G·(q X) + P diag(b) e */
static void hy_step_output(hy_step *f, const hy_scan *s, int with_e) {
    const hy_chunk *c = &f->chunk;
    int64_t V = s->a->V;
    for (int i = 0; i < HY_CHUNK; i++)
        f->factor[i] = s->scale * c->er[i];
    if (with_e)
        for (int i = 0; i < 256; i++)
            f->small.t[i] = f->small.p[i] * c->b[i % 16];
    hy_mul_ab_rows(f->read, hy_small_mat(f->small.t), f->e, (hy_shape){16, s->Vp, with_e ? 16 : 0}, f->factor);
    hy_mat_put(f->o + hy_scan_v_at(s, c->begin), s->a->HV * V, f->read, c->len, V, f->acc_o);
}

/* X = diag(d) X + lᵀ (e scaled to what the state receives) */
static void hy_step_state(hy_step *f, const hy_scan *s, int with_e) {
    const hy_chunk *c = &f->chunk;
    if (with_e)
        for (int64_t i = 0; i < HY_CHUNK; i++)
            for (int64_t j = 0; j < f->width; j += HY_VL) {
                float *e = hy_mat_at(f->e, i, j).p;
                hy_vec_store(e, hy_vec_load(e) * hy_vec_set(c->b[i] * c->ew[i]));
            }
    hy_mul_atb_rows(f->x, c->l, f->e, (hy_shape){s->Kp, f->width, with_e ? 16 : 0}, c->d);
}

/* What the chunk at `begin` will touch. */
static void hy_step_ahead(const hy_step *f, const hy_scan *s, int64_t begin) {
    hy_ahead_reset();
    hy_scan_ahead_keys(s, s->a->k, begin);
    hy_scan_ahead_keys(s, f->o ? s->a->q : NULL, begin);
    hy_scan_ahead_gates(s, s->a->g, begin);
    hy_scan_ahead_values(s, f->v, begin);
    hy_scan_ahead_values(s, f->o, begin);
}

/* One chunk from token `begin` on; returns its length. */
static int64_t hy_step_run(hy_step *f, const hy_scan *s, int64_t begin, int64_t limit) {
    hy_chunk *c = &f->chunk;
    int with_o = f->o != NULL, with_e = s->delta || f->v;
    hy_chunk_prepare(c, s, begin, limit, with_o);
    hy_step_ahead(f, s, begin + c->len);
    hy_chunk_weights(c, s, &f->small, with_o && with_e, s->delta);
    int first = with_o ? 0 : 16, rows = (s->delta ? 32 : 16) - first;
    if (rows > 0)
        hy_mul_ab(hy_mat_at(f->read, first, 0), hy_mat_at(c->rq, first, 0), f->x, (hy_shape){rows, f->width, s->Kp},
                  NULL);
    if (with_e)
        hy_step_error(f, s);
    if (with_o)
        hy_step_output(f, s, with_e);
    hy_step_state(f, s, with_e);
    return c->len;
}

/* The state before a run: S0[s0], or zero. */
static void hy_step_begin(hy_step *f, const hy_scan *s, const float *S0) {
    int64_t K = s->a->K, V = s->a->V;
    int given = S0 && s->run.s0 >= 0;
    hy_mat_read(f->x, given ? S0 + hy_scan_state_at(s, s->run.s0) : NULL, V, (hy_shape){s->Kp, f->width, 0},
                given ? K : 0, given ? V : 0);
}

#endif
