/* recur_bwd, recur_map_bwd. Two sweeps per (run, value head): forward, which keeps the state at every 64th token, the
 * errors e and the inverses; then backward in segments of 64 tokens, which rebuilds the states between from e and walks
 * the segment's chunks in reverse (recur_grad.h).
 *
 * A task takes the value heads of one part of a group in order (recur_sums.h). */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_family.h"
#include "kernels/cpu/simd/recur_grad.h"
#include "kernels/cpu/simd/recur_step.h"

/* Vector decay may shorten chunks down to one token. */
#define MAX_CHUNKS HY_SEGMENT

typedef struct bwd {
    hy_step step;
    hy_grad grad;
    float *keep_x; /* [segments,V,ld] states at segment starts, transposed */
    int64_t keep_size;
    float *keep_e, *keep_w; /* as in hy_step; delta rule only */
    int64_t n_chunks;
    hy_chunk chunks[MAX_CHUNKS];
    hy_mat states[MAX_CHUNKS]; /* before each chunk of the segment; the first is the kept one */
} bwd;

static void recur_bwd_layout(bwd *f, const hy_scan *s, hy_scratch *m) {
    int64_t T = s->a->T, max = s->vector ? MAX_CHUNKS : HY_SEGMENT / HY_CHUNK;
    hy_step_layout(&f->step, s, s->Vp, m);
    hy_grad_layout(&f->grad, s, m);
    f->keep_size = s->Vp * hy_mat_ld(s->Kp);
    f->keep_x = hy_scratch_take(m, (T / HY_SEGMENT + 1) * f->keep_size);
    if (s->delta) {
        f->keep_e = hy_scratch_take(m, T * s->Vp);
        f->keep_w = hy_scratch_take(m, T * 16);
    }
    for (int64_t i = 0; i < max; i++) {
        hy_chunk_layout(&f->chunks[i], s, m, 1);
        f->states[i] = hy_scratch_mat(m, s->Vp, s->Kp);
    }
}

static hy_mat recur_kept_state(const bwd *f, const hy_scan *s, int64_t segment) {
    return (hy_mat){f->keep_x + segment * f->keep_size, hy_mat_ld(s->Kp)};
}

/* First sweep. The additive rule keeps nothing but states, so its last segment need not be walked. */
static void bwd_forward(bwd *f, const hy_scan *s) {
    int64_t begin = s->run.begin, end = begin + s->run.len;
    f->step.v = s->a->v;
    f->step.keep_e = f->keep_e;
    f->step.keep_w = f->keep_w;
    hy_step_begin(&f->step, s, s->a->S0);
    for (int64_t t = begin; t < end;) {
        int64_t into = t - begin;
        if (into % HY_SEGMENT == 0)
            hy_mat_transpose(recur_kept_state(f, s, into / HY_SEGMENT), f->step.x, s->Kp, s->Vp);
        if (!s->delta && end - t <= HY_SEGMENT && into % HY_SEGMENT == 0)
            return;
        t += hy_step_run(&f->step, s, t, hy_segment_rest(s, t));
    }
}

static void bwd_prepare_segment(bwd *f, const hy_scan *s, int64_t begin) {
    int64_t n = 0, end = begin + hy_segment_rest(s, begin);
    for (int64_t t = begin; t < end; n++) {
        hy_chunk_prepare(&f->chunks[n], s, t, end - t, 1);
        t += f->chunks[n].len;
    }
    f->n_chunks = n;
}

/* Errors of a chunk, and its inverse. */
static void bwd_read_errors(bwd *f, const hy_scan *s, const hy_chunk *c) {
    hy_shape shape = {16, s->Vp, 0};
    int64_t at = c->begin - s->run.begin;
    if (!s->delta) {
        hy_mat_read(f->grad.e, (const hy_elem *)s->a->v + hy_scan_v_at(s, c->begin), s->a->HV * s->a->V, shape, c->len,
                    s->a->V);
        return;
    }
    hy_mat_read(f->grad.e, f->keep_e + at * s->Vp, s->Vp, shape, c->len, s->Vp);
    memset(f->grad.small.w, 0, 256 * sizeof(float));
    memcpy(f->grad.small.w, f->keep_w + at * 16, (size_t)c->len * 16 * sizeof(float));
}

/* States before the segment's chunks. */
static void bwd_rebuild_states(bwd *f, const hy_scan *s) {
    hy_mat z = f->grad.write;
    for (int64_t n = 0; n + 1 < f->n_chunks; n++) {
        const hy_chunk *c = &f->chunks[n];
        bwd_read_errors(f, s, c);
        for (int64_t i = 0; i < HY_CHUNK; i++)
            for (int64_t j = 0; j < s->Vp; j += HY_VL)
                hy_vec_store(hy_mat_at(z, i, j).p,
                             hy_vec_load(hy_mat_at(f->grad.e, i, j).p) * hy_vec_set(c->b[i] * c->ew[i]));
        hy_mul_atb_cols_from(f->states[n + 1], f->states[n], z, c->l, (hy_shape){s->Vp, s->Kp, 16}, c->d);
    }
}

/* dX = dS [K,V] of a slot transposed, or zero. */
static void bwd_begin(bwd *f, const hy_scan *s, const float *dS) {
    hy_mat x = f->step.x;
    hy_mat_read(x, dS, s->a->V, (hy_shape){s->Kp, s->Vp, 0}, dS ? s->a->K : 0, s->a->V);
    hy_mat_transpose(f->grad.dx, x, s->Kp, s->Vp);
}

static void bwd_end(bwd *f, const hy_scan *s, float *dS) {
    hy_mat_transpose(f->step.x, f->grad.dx, s->Vp, s->Kp);
    hy_mat_write(dS, s->a->V, f->step.x, s->a->K, s->a->V);
}

/* What the segment before this one will touch where it is a segment's length away from chunk n; of its state a part. */
static void bwd_ahead(const bwd *f, const hy_scan *s, int64_t segment, int64_t n, const hy_grad_out *out) {
    const hy_recur_args *a = s->a;
    int64_t begin = f->chunks[n].begin - HY_SEGMENT, part = s->Vp / 4;
    hy_ahead_reset();
    hy_scan_ahead_keys(s, out->dq.rows, f->chunks[n].begin);
    hy_scan_ahead_keys(s, out->dk.rows, f->chunks[n].begin);
    hy_scan_ahead_values(s, out->dv, f->chunks[n].begin);
    hy_scan_ahead_gates(s, out->dg, f->chunks[n].begin);
    if (segment == 0)
        return;
    hy_scan_ahead_keys(s, a->k, begin);
    hy_scan_ahead_keys(s, a->q, begin);
    hy_scan_ahead_gates(s, a->g, begin);
    hy_scan_ahead_values(s, a->d_o, begin);
    hy_scan_ahead_values(s, s->delta ? NULL : a->v, begin);
    if (s->delta && begin >= s->run.begin)
        hy_ahead_push(f->keep_e + (begin - s->run.begin) * s->Vp, sizeof(float), s->Vp, HY_CHUNK, s->Vp);
    hy_mat x = recur_kept_state(f, s, segment - 1);
    if (n < 4)
        hy_ahead_push(x.p + n * part * x.ld, sizeof(float), x.ld, part, s->Kp);
}

static void recur_bwd_run(bwd *f, const hy_scan *s, const hy_grad_out *out) {
    const hy_recur_args *a = s->a;
    bwd_forward(f, s);
    bwd_begin(f, s, a->dS1 && s->run.s1 >= 0 ? (const float *)a->dS1 + hy_scan_state_at(s, s->run.s1) : NULL);
    hy_mat own = f->states[0];
    for (int64_t seg = (s->run.len - 1) / HY_SEGMENT; s->run.len > 0 && seg >= 0; seg--) {
        bwd_prepare_segment(f, s, s->run.begin + seg * HY_SEGMENT);
        f->states[0] = recur_kept_state(f, s, seg);
        bwd_rebuild_states(f, s);
        for (int64_t n = f->n_chunks - 1; n >= 0; n--) {
            bwd_read_errors(f, s, &f->chunks[n]);
            bwd_ahead(f, s, seg, n, out);
            hy_grad_chunk(&f->grad, s, &f->chunks[n], f->states[n], out);
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
    recur_bwd_layout(&f, &s, &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_recur_bwd_floats)(const hy_recur_args *a) {
    return bwd_thread_floats(a) * omp_get_max_threads() +
           hy_key_sums_floats(hy_key_sums_make(a, 2, hy_key_parts(a), NULL));
}

/* Value heads of one part of one group, over one run, or over all where dg sums over them. */
static void bwd_task(bwd *f, const hy_recur_args *a, int64_t head, int64_t part, const hy_run *run, hy_key_sums sums) {
    int64_t group = a->HV / a->H, first = head * group + part * group / sums.parts,
            last = head * group + (part + 1) * group / sums.parts;
    for (int64_t vhead = first; vhead < last; vhead++) {
        hy_scan s = hy_scan_make(a, run, vhead);
        hy_grad_out out = {.dq = hy_key_rows_of(sums, part, 0, a->dq),
                           .dk = hy_key_rows_of(sums, part, 1, a->dk),
                           .acc = vhead > first,
                           .dv = a->dv,
                           .dg = a->decay == HY_DECAY_NONE ? NULL : (float *)a->dg,
                           .dbeta = a->dbeta};
        recur_bwd_run(f, &s, &out);
    }
}

void HY_ISA_NAME(hy_recur_bwd)(const hy_recur_args *a) {
    if (a->HV == 0 || a->H == 0)
        return;
    int64_t per_thread = bwd_thread_floats(a), parts = hy_key_parts(a), together = a->decay == HY_DECAY_HEAD;
    int64_t heads = a->H * parts, tasks = heads * (together ? 1 : a->n_runs);
    float *work = hy_align_floats(a->work);
    const hy_key_sums sums = hy_key_sums_make(a, 2, parts, work + per_thread * omp_get_max_threads());
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < tasks; i++) {
        HY_FLUSH_SUBNORMALS;
        int64_t head = i % heads / parts, part = i % parts;
        int64_t first = together ? 0 : i / heads, last = together ? a->n_runs : first + 1;
        hy_scan s = hy_scan_make(a, NULL, head);
        hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
        bwd f = {0};
        recur_bwd_layout(&f, &s, &m);
        for (int64_t r = first; r < last; r++)
            bwd_task(&f, a, head, part, &a->runs[r], sums);
    }
    hy_key_sums_finish(sums, a, (void *[HY_KEY_ARRAYS]){a->dq, a->dk});
}

/* The gradient of the state alone: no states before the chunks, no errors, no outputs but dH. */
static void recur_map_bwd_run(bwd *f, const hy_scan *s) {
    bwd_begin(f, s, NULL);
    for (int64_t seg = (s->run.len - 1) / HY_SEGMENT; s->run.len > 0 && seg >= 0; seg--) {
        bwd_prepare_segment(f, s, s->run.begin + seg * HY_SEGMENT);
        for (int64_t n = f->n_chunks - 1; n >= 0; n--) {
            hy_grad_outputs(&f->grad, s, &f->chunks[n], s->delta);
            hy_grad_state(&f->grad, s, &f->chunks[n], NULL);
        }
    }
    bwd_end(f, s, (float *)s->a->dH + hy_scan_state_at(s, s->run.s0));
}

void HY_ISA_NAME(hy_recur_map_bwd)(const hy_recur_args *a) {
    int64_t per_thread = bwd_thread_floats(a);
    float *work = hy_align_floats(a->work);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->n_runs * a->HV; i++) {
        HY_FLUSH_SUBNORMALS;
        hy_scan s = hy_scan_make(a, &a->runs[i / a->HV], i % a->HV);
        hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
        bwd f = {0};
        recur_bwd_layout(&f, &s, &m);
        if (s.run.s0 >= 0)
            recur_map_bwd_run(&f, &s);
    }
}
