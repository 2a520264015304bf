/* recur_fwd, recur_inject, recur_map: sweeps of recur_step.h over (run, value head), in parallel. */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_family.h"
#include "kernels/cpu/simd/recur_step.h"

enum sweep { SWEEP_FWD, SWEEP_INJECT, SWEEP_MAP };

static int64_t recur_sweep_width(const hy_recur_args *a, enum sweep kind) {
    int maps = kind == SWEEP_MAP && a->rule == HY_RULE_DELTA && a->A_map;
    return hy_round16(a->V) + (maps ? hy_round16(a->K) : 0);
}

/* Floats of one thread. */
static int64_t recur_sweep_floats(const hy_recur_args *a, enum sweep kind) {
    hy_scan s = hy_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    hy_step f = {0};
    hy_step_layout(&f, &s, recur_sweep_width(a, kind), &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_recur_fwd_floats)(const hy_recur_args *a) {
    hy_recur_args with_map = *a;
    static float present;
    with_map.A_map = &present;
    return recur_sweep_floats(&with_map, SWEEP_MAP) * omp_get_max_threads();
}

static void recur_sweep_all(hy_step *f, const hy_scan *s) {
    for (int64_t t = s->run.begin, end = t + s->run.len; t < end;)
        t += hy_step_run(f, s, t, hy_segment_rest(s, t));
}

/* exp of the decay summed over the run: the transition of the additive rule. */
static void map_transition_additive(const hy_scan *s, float *A) {
    const hy_recur_args *a = s->a;
    const float *g = a->g;
    int64_t n = s->vector ? a->K : 1;
    for (int64_t c = 0; c < n; c++) {
        double sum = 0;
        if (a->decay == HY_DECAY_HEAD)
            sum = (double)g[s->vhead] * (double)s->run.len;
        else if (a->decay != HY_DECAY_NONE)
            for (int64_t t = s->run.begin; t < s->run.begin + s->run.len; t++)
                sum += (double)g[(t * a->HV + s->vhead) * n + c];
        A[c] = (float)exp(sum);
    }
}

static void recur_map_one(hy_step *f, const hy_scan *s) {
    const hy_recur_args *a = s->a;
    int64_t n = hy_transition_size(a->decay, a->rule, a->K);
    float *A = a->A_map ? (float *)a->A_map + (s->run.s1 * a->HV + s->vhead) * n : NULL;
    int wanted = A && s->run.s0 >= 0;
    f->width = s->Vp + (s->delta && wanted ? s->Kp : 0);
    hy_step_begin(f, s, NULL);
    if (s->delta && wanted)
        for (int64_t i = 0; i < a->K; i++)
            *hy_mat_at(f->x, i, s->Vp + i).p = 1;
    recur_sweep_all(f, s);
    hy_mat_write((float *)a->H_map + hy_scan_state_at(s, s->run.s1), a->V, f->x, a->K, a->V);
    if (A && !wanted)
        memset(A, 0, (size_t)n * sizeof *A);
    else if (wanted && s->delta)
        hy_mat_write(A, a->K, hy_mat_at(f->x, 0, s->Vp), a->K, a->K);
    else if (wanted)
        map_transition_additive(s, A);
}

static void recur_sweep_one(hy_step *f, const hy_scan *s, enum sweep kind) {
    const hy_recur_args *a = s->a;
    f->v = kind == SWEEP_INJECT ? NULL : a->v;
    f->o = kind == SWEEP_MAP ? NULL : a->o;
    f->acc_o = kind == SWEEP_INJECT;
    if (kind == SWEEP_MAP) {
        if (s->run.s1 >= 0)
            recur_map_one(f, s);
        return;
    }
    if (kind == SWEEP_INJECT && (s->run.s0 < 0 || !a->S0))
        return;
    hy_step_begin(f, s, a->S0);
    recur_sweep_all(f, s);
    if (kind == SWEEP_FWD && a->S1 && s->run.s1 >= 0)
        hy_mat_write((float *)a->S1 + hy_scan_state_at(s, s->run.s1), a->V, f->x, a->K, a->V);
}

static void recur_sweep(const hy_recur_args *a, enum sweep kind) {
    int64_t per_thread = recur_sweep_floats(a, kind);
    float *work = hy_align_floats(a->work);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->n_runs * a->HV; i++) {
        HY_FLUSH_SUBNORMALS;
        hy_scan s = hy_scan_make(a, &a->runs[i / a->HV], i % a->HV);
        hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
        hy_step f = {0};
        hy_step_layout(&f, &s, recur_sweep_width(a, kind), &m);
        recur_sweep_one(&f, &s, kind);
    }
}

void HY_ISA_NAME(hy_recur_fwd)(const hy_recur_args *a) {
    recur_sweep(a, SWEEP_FWD);
}

void HY_ISA_NAME(hy_recur_inject)(const hy_recur_args *a) {
    recur_sweep(a, SWEEP_INJECT);
}

void HY_ISA_NAME(hy_recur_map)(const hy_recur_args *a) {
    recur_sweep(a, SWEEP_MAP);
}
