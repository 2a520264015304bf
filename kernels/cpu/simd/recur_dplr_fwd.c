/* recur_fwd, recur_inject, recur_map of the diagonal-plus-low-rank rule: sweeps of recur_dplr_step.h over (run, value
 * head), in parallel. */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_dplr_step.h"
#include "kernels/cpu/simd/recur_family.h"

enum sweep { SWEEP_FWD, SWEEP_INJECT, SWEEP_MAP };

static int64_t dplr_sweep_width(const hy_recur_args *a, enum sweep kind) {
    return hy_round16(a->V) + (kind == SWEEP_MAP ? hy_round16(a->K) : 0);
}

/* Floats of one thread. */
static int64_t dplr_sweep_floats(const hy_recur_args *a, enum sweep kind) {
    hy_scan s = hy_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    hy_dplr_step f = {0};
    hy_dplr_step_layout(&f, &s, dplr_sweep_width(a, kind), &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_recur_dplr_fwd_floats)(const hy_recur_args *a) {
    return dplr_sweep_floats(a, SWEEP_MAP) * omp_get_max_threads();
}

static void dplr_sweep_all(hy_dplr_step *f, const hy_scan *s) {
    for (int64_t t = s->run.begin, end = t + s->run.len; t < end;)
        t += hy_dplr_step_run(f, s, t, hy_segment_rest(s, t));
}

static void dplr_map_one(hy_dplr_step *f, const hy_scan *s) {
    const hy_recur_args *a = s->a;
    const int64_t n = a->K * a->K;
    float *A = a->A_map ? (float *)a->A_map + (s->run.s1 * a->HV + s->vhead) * n : NULL;
    const int wanted = A && s->run.s0 >= 0;
    f->width = s->Vp + (wanted ? s->Kp : 0);
    hy_dplr_step_begin(f, s, NULL);
    for (int64_t i = 0; wanted && i < a->K; i++)
        *hy_mat_at(f->x, i, s->Vp + i).p = 1;
    dplr_sweep_all(f, s);
    hy_mat_write((float *)a->H_map + hy_scan_state_at(s, s->run.s1), a->V, f->x, a->K, a->V);
    if (wanted)
        hy_mat_write(A, a->K, hy_mat_at(f->x, 0, s->Vp), a->K, a->K);
    else if (A)
        memset(A, 0, (size_t)n * sizeof *A);
}

static void dplr_sweep_one(hy_dplr_step *f, const hy_scan *s, enum sweep kind) {
    const hy_recur_args *a = s->a;
    f->v = kind == SWEEP_INJECT ? NULL : a->v;
    f->o = kind == SWEEP_MAP ? NULL : a->o;
    f->acc_o = kind == SWEEP_INJECT;
    if (kind == SWEEP_MAP) {
        if (s->run.s1 >= 0)
            dplr_map_one(f, s);
        return;
    }
    if (kind == SWEEP_INJECT && (s->run.s0 < 0 || !a->S0))
        return;
    hy_dplr_step_begin(f, s, a->S0);
    dplr_sweep_all(f, s);
    if (kind == SWEEP_FWD && a->S1 && s->run.s1 >= 0)
        hy_mat_write((float *)a->S1 + hy_scan_state_at(s, s->run.s1), a->V, f->x, a->K, a->V);
}

static void dplr_sweep(const hy_recur_args *a, enum sweep kind) {
    const int64_t per_thread = dplr_sweep_floats(a, kind);
    float *work = hy_align_floats(a->work);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->n_runs * a->HV; i++) {
        HY_FLUSH_SUBNORMALS;
        hy_scan s = hy_scan_make(a, &a->runs[i / a->HV], i % a->HV);
        hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
        hy_dplr_step f = {0};
        hy_dplr_step_layout(&f, &s, dplr_sweep_width(a, kind), &m);
        dplr_sweep_one(&f, &s, kind);
    }
}

void HY_ISA_NAME(hy_recur_dplr_fwd)(const hy_recur_args *a) {
    dplr_sweep(a, SWEEP_FWD);
}

void HY_ISA_NAME(hy_recur_dplr_inject)(const hy_recur_args *a) {
    dplr_sweep(a, SWEEP_INJECT);
}

void HY_ISA_NAME(hy_recur_dplr_map)(const hy_recur_args *a) {
    dplr_sweep(a, SWEEP_MAP);
}
