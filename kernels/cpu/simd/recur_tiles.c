/* recur_fwd and recur_bwd on AMX tiles (recur_tiles.h): sweeps over (run, value head), in parallel. Backward sweeps twice, as in
 * recur_bwd.c: forward, which keeps the state before every chunk and, for the delta rule, errors and inverses of diagonal blocks;
 * then backward. States and errors are factors there, so they are kept in bf16. */
#if HY_ISA_amx
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_family.h"
#include "kernels/cpu/simd/recur_tiles_fwd.h"
#include "kernels/cpu/simd/recur_tiles_grad.h"

typedef struct tiles_bwd {
    hy_tiles_step step;
    hy_tiles_grad grad;
    hy_half_mat keep_x, keep_e; /* [chunks,K,V]; [chunks,64,V] */
    float *keep_w;              /* [chunks,4,16,16] */
} tiles_bwd;

static void tiles_bwd_layout(tiles_bwd *f, const hy_scan *s, hy_scratch *m) {
    const int64_t chunks = s->a->T / HY_TILES_CHUNK + 1;
    hy_tiles_step_layout(&f->step, s, m);
    hy_tiles_grad_layout(&f->grad, &f->step.chunk, m);
    f->keep_x = hy_tiles_take(m, chunks * f->step.chunk.K, f->step.chunk.V);
    if (s->delta) {
        f->keep_e = hy_tiles_take(m, chunks * HY_TILES_CHUNK, f->step.chunk.V);
        f->keep_w = hy_scratch_take(m, chunks * HY_TILES_BLOCKS * 256);
    }
}

static int64_t tiles_fwd_floats(const hy_recur_args *a) {
    hy_scan s = hy_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    hy_tiles_step f = {0};
    hy_tiles_step_layout(&f, &s, &m);
    return m.used;
}

static int64_t tiles_bwd_floats(const hy_recur_args *a) {
    hy_scan s = hy_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    tiles_bwd f = {0};
    tiles_bwd_layout(&f, &s, &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_recur_tiles_floats)(const hy_recur_args *a) {
    const int64_t threads = omp_get_max_threads(), fwd = tiles_fwd_floats(a) * threads;
    const int64_t both =
        tiles_bwd_floats(a) * threads + hy_key_sums_floats(hy_key_sums_make(a, 2, hy_key_parts(a), NULL));
    const int64_t map = HY_ISA_NAME(hy_recur_fwd_floats)(a), tiles = fwd > both ? fwd : both;
    return tiles > map ? tiles : map;
}

void HY_ISA_NAME(hy_recur_tiles_fwd)(const hy_recur_args *a) {
    const int64_t per_thread = tiles_fwd_floats(a);
#pragma omp parallel
    {
        hy_tiles_begin();
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < a->n_runs * a->HV; i++) {
            HY_FLUSH_SUBNORMALS;
            const hy_scan s = hy_scan_make(a, &a->runs[i / a->HV], i % a->HV);
            hy_scratch m = {hy_align_floats(a->work) + per_thread * omp_get_thread_num(), 0};
            hy_tiles_step f = {.o = a->o};
            hy_tiles_step_layout(&f, &s, &m);
            hy_ahead_reset();
            hy_tiles_step_begin(&f, &s, a->S0);
            for (int64_t t = s.run.begin, end = t + s.run.len; t < end;)
                t += hy_tiles_step_run(&f, &s, t);
            if (a->S1 && s.run.s1 >= 0)
                hy_mat_write((float *)a->S1 + hy_scan_state_at(&s, s.run.s1), a->V, f.x, a->K, a->V);
        }
        hy_tiles_end();
    }
}

/* State before chunk n of the run. */
static hy_half_mat tiles_kept_state(const tiles_bwd *f, int64_t n) {
    return hy_half_at(f->keep_x, n * f->step.chunk.K, 0);
}

static hy_half_mat tiles_kept_errors(const tiles_bwd *f, int64_t n) {
    return hy_half_at(f->keep_e, n * HY_TILES_CHUNK, 0);
}

static void tiles_bwd_forward(tiles_bwd *f, const hy_scan *s) {
    const hy_tiles_chunk *c = &f->step.chunk;
    hy_tiles_step_begin(&f->step, s, s->a->S0);
    for (int64_t t = s->run.begin, end = t + s->run.len, n = 0; t < end; n++) {
        hy_half_rows_of(tiles_kept_state(f, n), f->step.x, NULL, c->K, c->V);
        t += hy_tiles_step_run(&f->step, s, t);
        if (!s->delta)
            continue;
        hy_half_rows_of(tiles_kept_errors(f, n), f->step.e, NULL, HY_TILES_CHUNK, c->V);
        memcpy(f->keep_w + n * HY_TILES_BLOCKS * 256, c->w, HY_TILES_BLOCKS * 256 * sizeof(float));
    }
}

/* Errors of chunk n, and its inverses. */
static void tiles_bwd_errors(tiles_bwd *f, const hy_scan *s, int64_t n) {
    hy_tiles_chunk *c = &f->step.chunk;
    if (!s->delta) {
        hy_half_read(f->grad.e, (const hy_bf16 *)s->a->v + hy_scan_v_at(s, c->begin), s->a->HV * s->a->V,
                     HY_TILES_CHUNK, c->V, c->len, s->a->V);
        return;
    }
    memcpy(f->grad.e.p, tiles_kept_errors(f, n).p, (size_t)(HY_TILES_CHUNK * c->V) * sizeof *f->grad.e.p);
    memcpy(c->w, f->keep_w + n * HY_TILES_BLOCKS * 256, HY_TILES_BLOCKS * 256 * sizeof(float));
}

static void tiles_bwd_run(tiles_bwd *f, const hy_scan *s, const hy_tiles_out *out) {
    const hy_recur_args *a = s->a;
    hy_tiles_chunk *c = &f->step.chunk;
    const float *dS1 = a->dS1 && s->run.s1 >= 0 ? (const float *)a->dS1 + hy_scan_state_at(s, s->run.s1) : NULL;
    tiles_bwd_forward(f, s);
    hy_mat_read(f->grad.dx, dS1, a->V, (hy_shape){c->K, c->V, 0}, dS1 ? a->K : 0, a->V);
    for (int64_t n = (s->run.len + HY_TILES_CHUNK - 1) / HY_TILES_CHUNK - 1; n >= 0; n--) {
        const int64_t t = s->run.begin + n * HY_TILES_CHUNK;
        hy_tiles_prepare(c, s, t, hy_segment_rest(s, t), 1);
        tiles_bwd_errors(f, s, n);
        hy_tiles_grad_chunk(&f->grad, s, c, tiles_kept_state(f, n), out);
    }
    if (a->dS0 && s->run.s0 >= 0)
        hy_mat_write((float *)a->dS0 + hy_scan_state_at(s, s->run.s0), a->V, f->grad.dx, a->K, a->V);
}

/* Value heads of one part of one group, over one run, or over all where dg sums over them. */
static void tiles_bwd_heads(tiles_bwd *f, const hy_recur_args *a, int64_t head, int64_t part, const hy_run *run,
                            hy_key_sums sums) {
    const int64_t group = a->HV / a->H, first = head * group + part * group / sums.parts,
                  last = head * group + (part + 1) * group / sums.parts;
    for (int64_t vhead = first; vhead < last; vhead++) {
        const hy_scan s = hy_scan_make(a, run, vhead);
        const hy_tiles_out out = {.dq = hy_key_rows_of(sums, part, 0, a->dq),
                                  .dk = hy_key_rows_of(sums, part, 1, a->dk),
                                  .acc = vhead > first,
                                  .dv = a->dv,
                                  .dg = a->decay == HY_DECAY_NONE ? NULL : (float *)a->dg,
                                  .dbeta = a->dbeta};
        tiles_bwd_run(f, &s, &out);
    }
}

void HY_ISA_NAME(hy_recur_tiles_bwd)(const hy_recur_args *a) {
    if (a->HV == 0 || a->H == 0)
        return;
    const int64_t per_thread = tiles_bwd_floats(a), parts = hy_key_parts(a), together = a->decay == HY_DECAY_HEAD;
    const int64_t heads = a->H * parts, tasks = heads * (together ? 1 : a->n_runs);
    float *work = hy_align_floats(a->work);
    const hy_key_sums sums = hy_key_sums_make(a, 2, parts, work + per_thread * omp_get_max_threads());
#pragma omp parallel
    {
        hy_tiles_begin();
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < tasks; i++) {
            HY_FLUSH_SUBNORMALS;
            const int64_t first = together ? 0 : i / heads, last = together ? a->n_runs : first + 1;
            const hy_scan s = hy_scan_make(a, NULL, i % heads / parts);
            hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
            tiles_bwd f = {0};
            hy_ahead_reset();
            tiles_bwd_layout(&f, &s, &m);
            for (int64_t r = first; r < last; r++)
                tiles_bwd_heads(&f, a, i % heads / parts, i % parts, &a->runs[r], sums);
        }
        hy_tiles_end();
    }
    hy_key_sums_finish(sums, a, (void *[HY_KEY_ARRAYS]){a->dq, a->dk});
}
#endif
