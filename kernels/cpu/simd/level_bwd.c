/* level_bwd, level_map_bwd. Backward sweeps twice over each (run, value head): forward, which keeps the states before
 * every √n-th of the n chunks; then backward in segments of √n chunks, whose states are made again from those
 * (level_grad.h).
 *
 * A task takes the value heads of one part of a group in order (recur_sums.h). */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/level_family.h"
#include "kernels/cpu/simd/level_grad.h"

typedef struct bwd {
    hy_level_chunk chunk;
    hy_level_grad grad;
    hy_mat turn;     /* [K,V] */
    int64_t segment; /* chunks */
    float *dX;       /* [N] states */
    float *heads;    /* [segments,N] states before each segment */
    float *path;     /* [segment,N] states before the chunks of one segment */
    float *starts;   /* int64_t [chunks]: first token of each chunk */
} bwd;

static void level_bwd_layout(bwd *f, const hy_level_scan *s, hy_scratch *m) {
    const int64_t chunks = hy_level_chunks_max(s->scan.a->T), states = s->N * s->size;
    for (f->segment = 1; f->segment * f->segment < chunks;)
        f->segment++;
    hy_level_chunk_layout(&f->chunk, s, m);
    hy_level_grad_layout(&f->grad, s, m);
    f->turn = hy_scratch_mat(m, s->scan.Kp, s->scan.Vp);
    f->dX = hy_scratch_take(m, states);
    f->heads = hy_scratch_take(m, f->segment * states);
    f->path = hy_scratch_take(m, f->segment * states);
    f->starts = hy_scratch_take(m, chunks * (int64_t)(sizeof(int64_t) / sizeof(float)));
}

static int64_t *starts_of(const bwd *f) {
    return (int64_t *)(void *)f->starts;
}

/* The chunks of the run; returns how many. */
static int64_t list_chunks(const bwd *f, const hy_level_scan *s) {
    int64_t n = 0;
    for (int64_t t = s->scan.run.begin; t < s->scan.run.begin + s->scan.run.len; n++) {
        starts_of(f)[n] = t;
        t += hy_level_chunk_length(s, t);
    }
    return n;
}

/* The states that enter position pos. */
static void copy_states(const hy_level_scan *s, int64_t pos, const float *from, float *to) {
    for (int64_t bit = 0; bit < s->N; bit++)
        if (pos >> bit & 1)
            memcpy(to + bit * s->size, from + bit * s->size, (size_t)s->size * sizeof *to);
}

/* Chunks of segment g from `first` on move `states` from one to the next; each but the first also keeps what enters it.
 */
static void rebuild_segment(bwd *f, const hy_level_scan *s, int64_t first, int64_t n) {
    const int64_t states = s->N * s->size;
    copy_states(s, s->levels->pos[starts_of(f)[first]], f->heads + first / f->segment * states, f->path);
    for (int64_t i = 0; i + 1 < n; i++) {
        hy_level_chunk_prepare(&f->chunk, s, starts_of(f)[first + i]);
        copy_states(s, f->chunk.pos, f->path + i * states, f->path + (i + 1) * states);
        hy_level_advance(&f->grad.move, s, &f->chunk, f->path + (i + 1) * states);
    }
}

/* First sweep, in f->path; the last segment need not be walked. */
static void keep_heads(bwd *f, const hy_level_scan *s, int64_t n_chunks) {
    const int64_t states = s->N * s->size, last = (n_chunks - 1) / f->segment * f->segment;
    hy_level_load(s, f->turn, s->scan.a->S0, s->scan.run.s0, s->levels->pos[s->scan.run.begin], f->path);
    for (int64_t i = 0; i <= last; i++) {
        if (i % f->segment == 0)
            copy_states(s, s->levels->pos[starts_of(f)[i]], f->path, f->heads + i / f->segment * states);
        if (i == last)
            break;
        hy_level_chunk_prepare(&f->chunk, s, starts_of(f)[i]);
        hy_level_advance(&f->grad.move, s, &f->chunk, f->path);
    }
}

/* What hy_level_load loads, stored; zeros for the bits that pos has not. */
static void store_states(const hy_level_scan *s, hy_mat turn, float *states, int64_t slot, int64_t pos, float *array) {
    const hy_recur_args *a = s->scan.a;
    for (int64_t bit = 0; bit < s->N; bit++) {
        float *to = array + hy_level_state_at(s, slot, bit);
        if (!(pos >> bit & 1)) {
            memset(to, 0, (size_t)(a->K * a->V) * sizeof *to);
            continue;
        }
        hy_mat_transpose(turn, hy_level_state(s, states, bit), s->scan.Vp, s->scan.Kp);
        hy_mat_write(to, a->V, turn, a->K, a->V);
    }
}

static int64_t end_pos(const hy_level_scan *s) {
    return s->levels->pos[s->scan.run.begin + s->scan.run.len - 1] + 1;
}

static void level_bwd_run(bwd *f, const hy_level_scan *s, const hy_level_out *out) {
    const hy_recur_args *a = s->scan.a;
    const hy_run *run = &s->scan.run;
    const int64_t states = s->N * s->size, n_chunks = list_chunks(f, s);
    if (n_chunks == 0)
        return;
    keep_heads(f, s, n_chunks);
    hy_level_load(s, f->turn, a->dS1, run->s1, end_pos(s), f->dX);
    for (int64_t first = (n_chunks - 1) / f->segment * f->segment; first >= 0; first -= f->segment) {
        const int64_t n = n_chunks - first < f->segment ? n_chunks - first : f->segment;
        rebuild_segment(f, s, first, n);
        for (int64_t i = n - 1; i >= 0; i--) {
            hy_level_chunk_prepare(&f->chunk, s, starts_of(f)[first + i]);
            hy_level_grad_chunk(&f->grad, s, &f->chunk, f->path + i * states, f->dX, out);
        }
    }
    if (a->dS0 && run->s0 >= 0)
        store_states(s, f->turn, f->dX, run->s0, s->levels->pos[run->begin], a->dS0);
}

static int64_t level_bwd_thread_floats(const hy_level_recur_args *a) {
    hy_level_scan s = hy_level_scan_make(a, NULL, 0);
    hy_scratch m = {0};
    bwd f = {0};
    level_bwd_layout(&f, &s, &m);
    return m.used;
}

int64_t HY_ISA_NAME(hy_level_bwd_floats)(const hy_level_recur_args *a) {
    return level_bwd_thread_floats(a) * omp_get_max_threads() +
           hy_key_sums_floats(hy_key_sums_make(&a->base, 2, hy_key_parts(&a->base), NULL));
}

void HY_ISA_NAME(hy_level_bwd_chunks)(const hy_level_recur_args *args) {
    const hy_recur_args *a = &args->base;
    if (a->HV == 0 || a->H == 0)
        return;
    const int64_t per_thread = level_bwd_thread_floats(args), parts = hy_key_parts(a), group = a->HV / a->H;
    float *work = hy_align_floats(a->work);
    const hy_key_sums sums = hy_key_sums_make(a, 2, parts, work + per_thread * omp_get_max_threads());
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->H * parts; i++) {
        HY_FLUSH_SUBNORMALS;
        const int64_t head = i / parts, part = i % parts, first = head * group + part * group / parts;
        for (int64_t vhead = first; vhead < head * group + (part + 1) * group / parts; vhead++)
            for (int64_t r = 0; r < a->n_runs; r++) {
                hy_level_scan s = hy_level_scan_make(args, &a->runs[r], vhead);
                hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
                bwd f = {0};
                level_bwd_layout(&f, &s, &m);
                const hy_level_out out = {.dq = hy_key_rows_of(sums, part, 0, a->dq),
                                          .dk = hy_key_rows_of(sums, part, 1, a->dk),
                                          .acc = vhead > first};
                level_bwd_run(&f, &s, &out);
            }
    }
    hy_key_sums_finish(sums, a, (void *[HY_KEY_ARRAYS]){a->dq, a->dk});
}

/* The gradient of the states alone. */
static void level_map_bwd_run(bwd *f, const hy_level_scan *s) {
    const hy_run *run = &s->scan.run;
    const int64_t n_chunks = list_chunks(f, s);
    memset(f->dX, 0, (size_t)(s->N * s->size) * sizeof(float));
    for (int64_t i = n_chunks - 1; i >= 0; i--) {
        hy_level_chunk *c = &f->chunk;
        hy_level_chunk_prepare(c, s, starts_of(f)[i]);
        hy_level_grad_begin(&f->grad, s, c, f->dX);
        for (int64_t bit = 0; bit < s->N; bit++) {
            if (!hy_level_enters(c, bit))
                continue;
            hy_mat dX = hy_level_state(s, f->dX, bit);
            if (s->scan.delta)
                hy_level_grad_correction(&f->grad, s, c, dX);
            hy_level_grad_state(&f->grad, s, c, bit, dX);
        }
    }
    store_states(s, f->turn, f->dX, run->s0, n_chunks > 0 ? s->levels->pos[run->begin] : 0, s->scan.a->dH);
}

void HY_ISA_NAME(hy_level_map_bwd_chunks)(const hy_level_recur_args *a) {
    const int64_t per_thread = level_bwd_thread_floats(a), HV = a->base.HV;
    float *work = hy_align_floats(a->base.work);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->base.n_runs * HV; i++) {
        HY_FLUSH_SUBNORMALS;
        hy_level_scan s = hy_level_scan_make(a, &a->base.runs[i / HV], i % HV);
        hy_scratch m = {work + per_thread * omp_get_thread_num(), 0};
        bwd f = {0};
        level_bwd_layout(&f, &s, &m);
        if (s.scan.run.s0 >= 0)
            level_map_bwd_run(&f, &s);
    }
}
