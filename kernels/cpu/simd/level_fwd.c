/* level_fwd: one sweep over the chunks of every (run, value head), in parallel. */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/level_chunk.h"
#include "kernels/cpu/simd/level_family.h"

typedef struct fwd {
    hy_level_chunk chunk;
    hy_level_move move;
    float *states;
    hy_mat turn;   /* [K,V] */
    hy_mat scaled; /* [K,16] columns of Q times the scales of a level */
    hy_mat o;      /* [16,V] */
    hy_mat ot;     /* [V,16] */
    float *ones;   /* [V] */
} fwd;

static void fwd_layout(fwd *f, const hy_level_scan *s, hy_scratch *m) {
    hy_level_chunk_layout(&f->chunk, s, m);
    hy_level_move_layout(&f->move, s, m);
    f->states = hy_scratch_take(m, s->N * s->size);
    f->turn = hy_scratch_mat(m, s->scan.Kp, s->scan.Vp);
    f->scaled = (hy_mat){hy_scratch_take(m, s->scan.Kp * 16), 16};
    f->o = hy_scratch_mat(m, 16, s->scan.Vp);
    f->ot = (hy_mat){hy_scratch_take(m, s->scan.Vp * 16), 16};
    f->ones = hy_scratch_take(m, s->scan.Vp > 16 ? s->scan.Vp : 16);
}

static int64_t level_fwd_thread_floats(const hy_level_recur_args *a) {
    hy_level_scan s = hy_level_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    fwd f = {0};
    fwd_layout(&f, &s, &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_level_fwd_floats)(const hy_level_recur_args *a) {
    return level_fwd_thread_floats(a) * omp_get_max_threads();
}

/* o = (N ⊙ Λ) v + (Σ_bits X_bit Qᵀ diag l)ᵀ */
static void read_states(fwd *f, const hy_level_scan *s) {
    const hy_level_chunk *c = &f->chunk;
    const hy_recur_args *a = s->scan.a;
    const int64_t Kp = s->scan.Kp, Vp = s->scan.Vp;
    memset(f->ot.p, 0, (size_t)(Vp * 16) * sizeof(float));
    for (int64_t bit = 0; bit < s->N; bit++) {
        if (!hy_level_enters(c, bit))
            continue;
        for (int64_t k = 0; k < Kp; k++)
            for (int64_t i = 0; i < HY_CHUNK; i += HY_VL)
                hy_vec_store(hy_mat_at(f->scaled, k, i).p,
                             hy_vec_load(hy_mat_at(c->cols, k, i).p) * hy_vec_load(c->l + (bit + 1) * 16 + i));
        hy_mul_ab_rows(f->ot, hy_level_state(s, f->states, bit), f->scaled, (hy_shape){Vp, 16, Kp}, f->ones);
    }
    hy_mat_transpose(f->o, f->ot, Vp, 16);
    hy_mul_ab_rows(f->o, hy_small_mat(c->weights), c->v, (hy_shape){16, Vp, 16}, f->ones);
    hy_mat_write((hy_elem *)a->o + hy_scan_v_at(&s->scan, c->chunk.begin), a->HV * a->V, f->o, c->chunk.len, a->V);
}

static void level_fwd_run(fwd *f, const hy_level_scan *s) {
    const hy_run *run = &s->scan.run;
    if (run->len == 0)
        return;
    for (int64_t i = 0; i < (s->scan.Vp > 16 ? s->scan.Vp : 16); i++)
        f->ones[i] = 1;
    hy_level_load(s, f->turn, s->scan.a->S0, run->s0, s->levels->pos[run->begin], f->states);
    for (int64_t t = run->begin; t < run->begin + run->len; t += f->chunk.chunk.len) {
        hy_level_chunk_prepare(&f->chunk, s, t);
        read_states(f, s);
        hy_level_advance(&f->move, s, &f->chunk, f->states);
    }
}

void HY_ISA_NAME(hy_level_fwd_chunks)(const hy_level_recur_args *a) {
    const int64_t per_thread = level_fwd_thread_floats(a), HV = a->base.HV;
    float *work = hy_align_floats(a->base.work);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->base.n_runs * HV; i++) {
        HY_FLUSH_SUBNORMALS;
        hy_level_scan s = hy_level_scan_make(a, &a->base.runs[i / HV], i % HV);
        hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
        fwd f = {0};
        fwd_layout(&f, &s, &m);
        level_fwd_run(&f, &s);
    }
}
