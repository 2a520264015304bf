/* The forward step of the diagonal-plus-low-rank rule over one chunk: reads the state, writes o, advances the state. As
 * in recur_step.h the same step makes outputs, segment maps (K more columns of state, starting from I, with v = 0
 * there), what a state adds to o (v = 0 everywhere), and the first sweep of the backward pass (which keeps u). */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_DPLR_STEP_H
#define HY_KERNELS_CPU_SIMD_RECUR_DPLR_STEP_H

#include "kernels/cpu/simd/recur_dplr_chunk.h"

typedef struct hy_dplr_step {
    const hy_elem *v; /* [T,HV,V] or NULL = 0 */
    hy_elem *o;       /* [T,HV,V] or NULL */
    int acc_o;
    float *keep_u; /* [T of the run, Vp] or NULL */
    int64_t width; /* columns of the state, a multiple of 16 */
    hy_dplr_chunk chunk;
    hy_dplr_small small;
    hy_mat x;      /* [K,width] the state */
    hy_mat read;   /* [32,width] (q e^G) X, then o; (a e^{G⁻}) X, then + N z */
    hy_mat y;      /* [32,width] z, u */
    float *factor; /* [16] */
} hy_dplr_step;

HY_INLINE void hy_dplr_step_layout(hy_dplr_step *f, const hy_scan *s, int64_t width, hy_scratch *m) {
    f->width = width;
    hy_dplr_chunk_layout(&f->chunk, s, m, 0);
    hy_dplr_small_layout(&f->small, m);
    f->x = hy_scratch_mat(m, s->Kp, width);
    f->read = hy_scratch_mat(m, HY_ROWS, width);
    f->y = hy_scratch_mat(m, HY_ROWS, width);
    f->factor = hy_scratch_take(m, HY_CHUNK);
}

HY_INLINE void hy_dplr_factor(hy_dplr_step *f, float value) {
    for (int i = 0; i < HY_CHUNK; i++)
        f->factor[i] = value;
}

/* z, and u from what a reads of the state. */
static void hy_dplr_step_values(hy_dplr_step *f, const hy_scan *s) {
    const hy_dplr_chunk *c = &f->chunk;
    const hy_mat n = hy_mat_at(f->small.gram, 16, 0), u = hy_mat_at(f->y, 16, 0), side = hy_mat_at(f->read, 16, 0);
    hy_dplr_values(f->y, c, s, f->v, f->width);
    if (f->v) {
        hy_dplr_factor(f, 1);
        hy_mul_ab_rows(side, n, f->y, (hy_shape){16, s->Vp, 16}, f->factor);
    }
    hy_mul_ab(u, hy_small_mat(f->small.t), side, (hy_shape){16, f->width, 16}, NULL);
    if (f->keep_u)
        hy_mat_write(f->keep_u + (c->begin - s->run.begin) * s->Vp, s->Vp, u, c->len, s->Vp);
}

/* o (+)= scale (q e^G) X + P z + Q u */
static void hy_dplr_step_output(hy_dplr_step *f, const hy_scan *s) {
    const hy_dplr_chunk *c = &f->chunk;
    const int64_t V = s->a->V;
    hy_dplr_factor(f, s->scale);
    hy_mul_ab_rows(f->read, f->small.gram, f->y, (hy_shape){16, s->Vp, HY_ROWS}, f->factor);
    hy_mat_put(f->o + hy_scan_v_at(s, c->begin), s->a->HV * V, f->read, c->len, V, f->acc_o);
}

/* What the chunk at `begin` will touch. */
static void hy_dplr_step_ahead(const hy_dplr_step *f, const hy_scan *s, int64_t begin) {
    const void *const keys[] = {s->a->k, s->a->a, s->a->b, f->o ? s->a->q : NULL};
    hy_ahead_reset();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        hy_scan_ahead_keys(s, keys[i], begin);
    hy_scan_ahead_gates(s, s->a->g, begin);
    hy_scan_ahead_values(s, f->v, begin);
    hy_scan_ahead_values(s, f->o, begin);
}

/* One chunk from token `begin` on; returns its length. */
static int64_t hy_dplr_step_run(hy_dplr_step *f, const hy_scan *s, int64_t begin, int64_t limit) {
    hy_dplr_chunk *c = &f->chunk;
    const int with_o = f->o != NULL;
    const int64_t first = with_o ? 0 : 16;
    hy_dplr_prepare(c, s, begin, limit, with_o);
    hy_dplr_step_ahead(f, s, begin + c->len);
    hy_dplr_weights(c, s, &f->small, with_o);
    hy_mul_ab(hy_mat_at(f->read, first, 0), hy_mat_at(c->rx, first, 0), f->x,
              (hy_shape){HY_ROWS - first, f->width, s->Kp}, NULL);
    hy_dplr_step_values(f, s);
    if (with_o)
        hy_dplr_step_output(f, s);
    hy_mul_atb_rows(f->x, c->l, f->y, (hy_shape){s->Kp, f->width, HY_ROWS}, c->d);
    return c->len;
}

/* The state before a run: S0[s0], or zero. */
static void hy_dplr_step_begin(hy_dplr_step *f, const hy_scan *s, const float *S0) {
    const int64_t K = s->a->K, V = s->a->V;
    const int given = S0 && s->run.s0 >= 0;
    hy_mat_read(f->x, given ? S0 + hy_scan_state_at(s, s->run.s0) : NULL, V, (hy_shape){s->Kp, f->width, 0},
                given ? K : 0, given ? V : 0);
}

#endif
