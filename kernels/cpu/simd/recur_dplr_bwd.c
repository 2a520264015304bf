/* recur_bwd, recur_map_bwd of the diagonal-plus-low-rank rule: two sweeps per (run, value head), as in recur_bwd.c. The
 * first keeps the state at every 64th token and u; the second rebuilds the states of one segment of 64 tokens and walks
 * its chunks in reverse. The value heads of a group add to the same dq, dk, da, db, so one task takes them in order. */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_dplr_grad.h"
#include "kernels/cpu/simd/recur_dplr_step.h"
#include "kernels/cpu/simd/recur_family.h"

typedef struct bwd {
    hy_dplr_step step;
    hy_dplr_grad grad;
    float *keep_x; /* [segments,V,ld] states at segment starts, transposed */
    int64_t keep_size;
    float *keep_u; /* as in hy_dplr_step */
    int64_t n_chunks;
    hy_dplr_chunk chunks[HY_SEGMENT]; /* decay may shorten them down to one token */
    hy_mat states[HY_SEGMENT];        /* before each chunk of the segment; the first is the kept one */
} bwd;

static void dplr_bwd_layout(bwd *f, const hy_scan *s, hy_scratch *m) {
    const int64_t max = s->a->decay == HY_DECAY_NONE ? HY_SEGMENT / HY_CHUNK : HY_SEGMENT;
    hy_dplr_step_layout(&f->step, s, s->Vp, m);
    hy_dplr_grad_layout(&f->grad, s, m);
    f->keep_size = s->Vp * hy_mat_ld(s->Kp);
    f->keep_x = hy_scratch_take(m, (s->a->T / HY_SEGMENT + 1) * f->keep_size);
    f->keep_u = hy_scratch_take(m, s->a->T * s->Vp);
    for (int64_t i = 0; i < max; i++) {
        hy_dplr_chunk_layout(&f->chunks[i], s, m, 1);
        f->states[i] = hy_scratch_mat(m, s->Vp, s->Kp);
    }
}

static hy_mat dplr_kept_state(const bwd *f, int64_t segment, int64_t Kp) {
    return (hy_mat){f->keep_x + segment * f->keep_size, hy_mat_ld(Kp)};
}

static void bwd_forward(bwd *f, const hy_scan *s) {
    const int64_t begin = s->run.begin, end = begin + s->run.len;
    f->step.v = s->a->v;
    f->step.keep_u = f->keep_u;
    hy_dplr_step_begin(&f->step, s, s->a->S0);
    for (int64_t t = begin; t < end;) {
        if ((t - begin) % HY_SEGMENT == 0)
            hy_mat_transpose(dplr_kept_state(f, (t - begin) / HY_SEGMENT, s->Kp), f->step.x, s->Kp, s->Vp);
        t += hy_dplr_step_run(&f->step, s, t, hy_segment_rest(s, t));
    }
}

static void bwd_prepare_segment(bwd *f, const hy_scan *s, int64_t begin) {
    const int64_t end = begin + hy_segment_rest(s, begin);
    f->n_chunks = 0;
    for (int64_t t = begin; t < end; f->n_chunks++) {
        hy_dplr_prepare(&f->chunks[f->n_chunks], s, t, end - t, 1);
        t += f->chunks[f->n_chunks].len;
    }
}

/* z and u of a chunk. */
static void bwd_read_values(bwd *f, const hy_scan *s, const hy_dplr_chunk *c) {
    hy_dplr_values(f->grad.y, c, s, s->a->v, s->Vp);
    hy_mat_read(hy_mat_at(f->grad.y, 16, 0), f->keep_u + (c->begin - s->run.begin) * s->Vp, s->Vp,
                (hy_shape){16, s->Vp, 0}, c->len, s->Vp);
}

/* States before the segment's chunks. */
static void bwd_rebuild_states(bwd *f, const hy_scan *s) {
    for (int64_t n = 0; n + 1 < f->n_chunks; n++) {
        const hy_dplr_chunk *c = &f->chunks[n];
        bwd_read_values(f, s, c);
        hy_mul_atb_cols_from(f->states[n + 1], f->states[n], f->grad.y, c->l, (hy_shape){s->Vp, s->Kp, HY_ROWS}, c->d);
    }
}

/* dX = dS [K,V] of a slot transposed, or zero. */
static void bwd_begin(bwd *f, const hy_scan *s, const float *dS) {
    hy_mat_read(f->step.x, dS, s->a->V, (hy_shape){s->Kp, s->Vp, 0}, dS ? s->a->K : 0, s->a->V);
    hy_mat_transpose(f->grad.dx, f->step.x, s->Kp, s->Vp);
}

static void bwd_end(bwd *f, const hy_scan *s, float *dS) {
    hy_mat_transpose(f->step.x, f->grad.dx, s->Vp, s->Kp);
    hy_mat_write(dS, s->a->V, f->step.x, s->a->K, s->a->V);
}

static int64_t last_segment(const hy_scan *s) {
    return (s->run.len + HY_SEGMENT - 1) / HY_SEGMENT - 1;
}

static void dplr_bwd_run(bwd *f, const hy_scan *s, const hy_dplr_out *out) {
    const hy_recur_args *a = s->a;
    bwd_forward(f, s);
    bwd_begin(f, s, a->dS1 && s->run.s1 >= 0 ? (const float *)a->dS1 + hy_scan_state_at(s, s->run.s1) : NULL);
    const hy_mat own = f->states[0];
    for (int64_t seg = last_segment(s); seg >= 0; seg--) {
        bwd_prepare_segment(f, s, s->run.begin + seg * HY_SEGMENT);
        f->states[0] = dplr_kept_state(f, seg, s->Kp);
        bwd_rebuild_states(f, s);
        for (int64_t n = f->n_chunks - 1; n >= 0; n--) {
            bwd_read_values(f, s, &f->chunks[n]);
            hy_dplr_grad_chunk(&f->grad, s, &f->chunks[n], f->states[n], out);
        }
    }
    f->states[0] = own;
    if (a->dS0 && s->run.s0 >= 0)
        bwd_end(f, s, (float *)a->dS0 + hy_scan_state_at(s, s->run.s0));
}

static int64_t bwd_thread_floats(const hy_recur_args *a) {
    hy_scan s = hy_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    bwd f = {0};
    dplr_bwd_layout(&f, &s, &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_recur_dplr_bwd_floats)(const hy_recur_args *a) {
    return bwd_thread_floats(a) * omp_get_max_threads() + hy_key_sums_floats(hy_key_sums_make(a, 4, 1, NULL));
}

static bwd bwd_of_thread(const hy_recur_args *a, int64_t per_thread) {
    hy_scan s = hy_scan_make(a, NULL, 0);
    hy_scratch m = {hy_align_floats(a->work) + per_thread * omp_get_thread_num(), 0};
    bwd f = {0};
    dplr_bwd_layout(&f, &s, &m);
    return f;
}

void HY_ISA_NAME(hy_recur_dplr_bwd)(const hy_recur_args *a) {
    const int64_t per_thread = bwd_thread_floats(a), group = a->H ? a->HV / a->H : 0;
    const int together = a->decay == HY_DECAY_HEAD; /* dg sums over the runs */
    const hy_key_sums sums = hy_key_sums_make(a, 4, 1, hy_align_floats(a->work) + per_thread * omp_get_max_threads());
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->H * (together ? 1 : a->n_runs); i++) {
        HY_FLUSH_SUBNORMALS;
        const int64_t head = i % a->H, first = together ? 0 : i / a->H, last = together ? a->n_runs : first + 1;
        bwd f = bwd_of_thread(a, per_thread);
        for (int64_t r = first; r < last; r++)
            for (int64_t vhead = head * group; vhead < (head + 1) * group; vhead++) {
                const hy_scan s = hy_scan_make(a, &a->runs[r], vhead);
                const hy_dplr_out out = {.dq = hy_key_rows_of(sums, 0, 0, a->dq),
                                         .dk = hy_key_rows_of(sums, 0, 1, a->dk),
                                         .da = hy_key_rows_of(sums, 0, 2, a->da),
                                         .db = hy_key_rows_of(sums, 0, 3, a->db),
                                         .acc = vhead > head * group,
                                         .dv = a->dv,
                                         .dg = a->decay == HY_DECAY_NONE ? NULL : a->dg,
                                         .dbeta = a->dbeta};
                dplr_bwd_run(&f, &s, &out);
            }
    }
    hy_key_sums_finish(sums, a, (void *[HY_KEY_ARRAYS]){a->dq, a->dk, a->da, a->db});
}

/* The gradient of the state alone. */
void HY_ISA_NAME(hy_recur_dplr_map_bwd)(const hy_recur_args *a) {
    const int64_t per_thread = bwd_thread_floats(a);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->n_runs * a->HV; i++) {
        HY_FLUSH_SUBNORMALS;
        const hy_scan s = hy_scan_make(a, &a->runs[i / a->HV], i % a->HV);
        if (s.run.s0 < 0)
            continue;
        bwd f = bwd_of_thread(a, per_thread);
        bwd_begin(&f, &s, NULL);
        for (int64_t seg = last_segment(&s); seg >= 0; seg--) {
            bwd_prepare_segment(&f, &s, s.run.begin + seg * HY_SEGMENT);
            for (int64_t n = f.n_chunks - 1; n >= 0; n--) {
                hy_dplr_grad_outputs(&f.grad, &s, &f.chunks[n]);
                hy_dplr_grad_state(&f.grad, &s, &f.chunks[n]);
            }
        }
        bwd_end(&f, &s, (float *)a->dH + hy_scan_state_at(&s, s.run.s0));
    }
}
