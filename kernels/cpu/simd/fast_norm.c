/* rmsnorm, layernorm, l2norm: one row at a time, read from memory once. With n = (x − mean)·r and d = dy ⊙ w,
 *   y = n ⊙ w + b;   dx = r (d − mean(d) − n·mean(d ⊙ n))      (l2norm: sums instead of means; rms, l2: mean = 0, no
 * mean(d)) dw = Σ dy ⊙ n,   db = Σ dy. Backward a row is walked three times: for r, for all sums and dgate, for dx.
 * dw and db: every thread sums its rows on its stack, then the threads add to the output one after the other. With a gate:
 * y ⊙ act(gate), dy ⊙ act(gate) in dy's place, dgate = dy ⊙ n ⊙ w ⊙ act'(gate), the activation evaluated once; one loop
 * per activation. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd/activation.h"
#include "kernels/cpu/simd/elementwise.h"

typedef enum norm_kind { NORM_RMS, NORM_LAYER, NORM_L2 } norm_kind;

typedef struct norm_args {
    int64_t rows, cols, w_rows;
    float eps, w_offset;
    const hy_elem *x, *branch, *dy, *gate;
    const float *w, *b;
    hy_elem *sum, *y, *dx, *dgate;
    float *dw, *db;
    int acc, acc_gate;
    hy_act act; /* of gate */
} norm_args;

/* What a loop is compiled for: a norm, and what its output is multiplied by. */
typedef struct norm_form {
    norm_kind kind;
    bool gated;
    hy_act act;
} norm_form;

typedef struct row_scale {
    float mean, r;
} row_scale;

/* Weights up to this many have their gradients summed per thread; beyond, one thread sums into the output. */
#define WEIGHTS 16384

/* Columns of a row with gate, from the first, for which the walk that sums leaves d to the one that makes dx; behind them it evaluates the
 * activation again. A multiple of HY_VL, in the first cache. */
#define KEPT 4096

HY_INLINE row_scale row_scale_of(const norm_args *a, const norm_kind kind, const hy_elem *x) {
    const float inverse = kind == NORM_L2 ? 1.0f : 1.0f / (float)a->cols;
    const hy_range all = {0, a->cols};
    hy_vec sum = hy_vec_zero(), mean = hy_vec_zero(), d;
    row_scale s = {0, 0};
    if (kind == NORM_LAYER) {
#define STEP(c, n) sum += hy_vec_load_tail(x + (c), n)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
        s.mean = hy_vec_sum(sum) * inverse;
        mean = hy_vec_set(s.mean);
        sum = hy_vec_zero();
    }
    int64_t c = 0;
    for (; c + HY_VL <= a->cols; c += HY_VL) {
        d = hy_vec_load(x + c) - mean;
        sum += d * d;
    }
    if (c < a->cols) {
        d = hy_vec_load_tail(x + c, a->cols - c) - mean;
        d = hy_vec_select((hy_ivec)(hy_ivec_iota() < hy_ivec_set((int32_t)(a->cols - c))), d, hy_vec_zero());
        sum += d * d;
    }
    s.r = 1.0f / sqrtf(hy_vec_sum(sum) * inverse + a->eps);
    return s;
}

HY_INLINE hy_vec weight_at(const norm_args *a, const float *w, int64_t c, int64_t n) {
    return w != NULL ? hy_vec_load_tail(w + c, n) + hy_vec_set(a->w_offset) : hy_vec_set(1.0f);
}

/* What the norm of a row is of: a sum lies in the first cache when the norm reads it. */
HY_INLINE const hy_elem *normed_row(const norm_args *a, int64_t row) {
    const hy_elem *x = a->x + row;
    if (a->branch == NULL)
        return x;
    const hy_elem *branch = a->branch + row;
    hy_elem *sum = a->sum + row;
    const hy_range all = {0, a->cols};
#define STEP(c, n) hy_vec_store_tail(sum + (c), hy_vec_load_tail(x + (c), n) + hy_vec_load_tail(branch + (c), n), n)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
    return sum;
}

HY_INLINE void fwd_step(const norm_args *a, const norm_form form, const row_scale *s, const hy_elem *x, int64_t row,
                        int64_t at, int64_t c, int64_t n) {
    hy_vec y = (hy_vec_load_tail(x + c, n) - hy_vec_set(s->mean)) * hy_vec_set(s->r);
    if (a->w != NULL)
        y *= weight_at(a, a->w + at, c, n);
    if (a->b != NULL)
        y += hy_vec_load_tail(a->b + at + c, n);
    if (form.gated)
        y *= hy_act_value(form.act, hy_vec_load_tail(a->gate + row + c, n));
    hy_vec_store_tail(a->y + row + c, y, n);
}

HY_INLINE void fwd_rows(const norm_args *a, const norm_form form, hy_range rows) {
    for (int64_t r = rows.begin; r < rows.end; r++) {
        const int64_t row = r * a->cols, at = r % a->w_rows * a->cols;
        const hy_elem *x = normed_row(a, row);
        const row_scale s = row_scale_of(a, form.kind, x);
        const hy_range all = {0, a->cols};
#define STEP(c, n) fwd_step(a, form, &s, x, row, at, c, n)
        HY_FOR_VECS(c, all, STEP);
#undef STEP
    }
}

static void gated_fwd_rows(const norm_args *a, hy_range rows) {
    switch (a->act) {
#define HY_X(act)                                                                                                      \
    case act:                                                                                                          \
        fwd_rows(a, (norm_form){NORM_RMS, true, act}, rows);                                                           \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
}

static void norm_fwd(const norm_args *a, norm_kind kind) {
#pragma omp parallel if (a->rows * a->cols >= HY_PARALLEL_MIN)
    {
        const hy_range rows = hy_thread_range(a->rows, 1);
        if (a->gate != NULL)
            gated_fwd_rows(a, rows);
        else if (kind == NORM_RMS)
            fwd_rows(a, (norm_form){.kind = NORM_RMS}, rows);
        else if (kind == NORM_LAYER)
            fwd_rows(a, (norm_form){.kind = NORM_LAYER}, rows);
        else
            fwd_rows(a, (norm_form){.kind = NORM_L2}, rows);
    }
}

/* Sums over a row: of d and of d ⊙ n. */
typedef struct row_sums {
    hy_vec d, dn;
} row_sums;

/* What the backward walks over row r have: its weights, where the sums of their gradients go. */
typedef struct bwd_place {
    int64_t row;
    const float *w;
    float *dw, *db;
} bwd_place;

HY_INLINE hy_vec normed_at(const norm_args *a, const row_scale *s, const bwd_place *p, int64_t c, int64_t n) {
    return (hy_vec_load_tail(a->x + p->row + c, n) - hy_vec_set(s->mean)) * hy_vec_set(s->r);
}

/* What dy is to a norm without gate, times w. */
HY_INLINE hy_vec d_at(const norm_args *a, const norm_form form, const bwd_place *p, int64_t c, int64_t n) {
    hy_vec dy = hy_vec_load_tail(a->dy + p->row + c, n);
    if (form.gated)
        dy *= hy_act_value(form.act, hy_vec_load_tail(a->gate + p->row + c, n));
    return dy * weight_at(a, p->w, c, n);
}

/* dgate, dw, db and the row's sums; of a norm with gate, d to `kept`. */
HY_INLINE void sums_step(const norm_args *a, const norm_form form, const row_scale *s, const bwd_place *p, int64_t c,
                         int64_t n, row_sums *sums, float *kept) {
    const hy_vec normed = normed_at(a, s, p, c, n), w = weight_at(a, p->w, c, n);
    hy_vec dy = hy_vec_load_tail(a->dy + p->row + c, n), value;
    if (form.gated) {
        const hy_vec slope = hy_act_slope(form.act, hy_vec_load_tail(a->gate + p->row + c, n), &value);
        if (a->dgate != NULL)
            hy_vec_put(a->dgate + p->row + c, dy * (normed * w) * slope, n, a->acc_gate);
        dy *= value;
    }
    if (p->dw != NULL)
        hy_vec_put(p->dw + c, dy * normed, n, 1);
    if (p->db != NULL)
        hy_vec_put(p->db + c, dy, n, 1);
    const hy_vec d = dy * w;
    if (form.gated && c < KEPT)
        hy_vec_store_tail(kept + c, d, n);
    sums->d += d;
    sums->dn += d * normed;
}

HY_INLINE void dx_step(const norm_args *a, const norm_form form, const row_scale *s, const row_scale *means,
                       const bwd_place *p, int64_t c, int64_t n, const float *kept) {
    const hy_vec d = form.gated && c < KEPT ? hy_vec_load_tail(kept + c, n) : d_at(a, form, p, c, n);
    const hy_vec normed = normed_at(a, s, p, c, n);
    hy_vec_put(a->dx + p->row + c, hy_vec_set(s->r) * (d - hy_vec_set(means->mean) - normed * hy_vec_set(means->r)), n,
               a->acc);
}

HY_INLINE void bwd_row(const norm_args *a, const norm_form form, const bwd_place *p) {
    const row_scale s = row_scale_of(a, form.kind, a->x + p->row);
    const hy_range all = {0, a->cols};
    row_sums sums = {hy_vec_zero(), hy_vec_zero()};
    float kept[KEPT];
#define STEP(c, n) sums_step(a, form, &s, p, c, n, &sums, kept)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
    if (a->dx == NULL)
        return;
    const float inverse = form.kind == NORM_L2 ? 1.0f : 1.0f / (float)a->cols;
    const row_scale means = {form.kind == NORM_LAYER ? hy_vec_sum(sums.d) * inverse : 0.0f,
                             hy_vec_sum(sums.dn) * inverse};
#define STEP(c, n) dx_step(a, form, &s, &means, p, c, n, kept)
    HY_FOR_VECS(c, all, STEP);
#undef STEP
}

HY_INLINE void bwd_rows_of(const norm_args *a, const norm_form form, hy_range rows, float *dw, float *db) {
    for (int64_t r = rows.begin; r < rows.end; r++) {
        const int64_t at = r % a->w_rows * a->cols;
        const bwd_place p = {.row = r * a->cols,
                             .w = a->w != NULL ? a->w + at : NULL,
                             .dw = dw != NULL ? dw + at : NULL,
                             .db = db != NULL ? db + at : NULL};
        bwd_row(a, form, &p);
    }
}

static void gated_bwd_rows(const norm_args *a, hy_range rows, float *dw) {
    switch (a->act) {
#define HY_X(act)                                                                                                      \
    case act:                                                                                                          \
        bwd_rows_of(a, (norm_form){NORM_RMS, true, act}, rows, dw, NULL);                                              \
        break;
        HY_ACTS(HY_X)
#undef HY_X
    }
}

static void bwd_rows(const norm_args *a, norm_kind kind, hy_range rows, float *dw, float *db) {
    if (a->gate != NULL)
        gated_bwd_rows(a, rows, dw);
    else if (kind == NORM_RMS)
        bwd_rows_of(a, (norm_form){.kind = NORM_RMS}, rows, dw, NULL);
    else if (kind == NORM_LAYER)
        bwd_rows_of(a, (norm_form){.kind = NORM_LAYER}, rows, dw, db);
    else
        bwd_rows_of(a, (norm_form){.kind = NORM_L2}, rows, NULL, NULL);
}

static void add_to(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void norm_bwd(const norm_args *a, norm_kind kind) {
    const int64_t weights = a->w_rows * a->cols;
    if (weights > WEIGHTS && (a->dw != NULL || a->db != NULL)) {
        bwd_rows(a, kind, (hy_range){0, a->rows}, a->dw, a->db);
        return;
    }
#pragma omp parallel if (a->rows * a->cols >= HY_PARALLEL_MIN)
    {
        float dw[WEIGHTS], db[WEIGHTS];
        if (a->dw != NULL)
            memset(dw, 0, (size_t)weights * sizeof *dw);
        if (a->db != NULL)
            memset(db, 0, (size_t)weights * sizeof *db);
        bwd_rows(a, kind, hy_thread_range(a->rows, 1), a->dw != NULL ? dw : NULL, a->db != NULL ? db : NULL);
#pragma omp for ordered schedule(static, 1)
        for (int t = 0; t < omp_get_num_threads(); t++) {
#pragma omp ordered
            {
                if (a->dw != NULL)
                    add_to(a->dw, dw, weights);
                if (a->db != NULL)
                    add_to(a->db, db, weights);
            }
        }
    }
}

static norm_args of_rms(const hy_rmsnorm_args *a) {
    return (norm_args){.rows = a->rows,
                       .cols = a->cols,
                       .w_rows = a->w_rows,
                       .eps = (float)a->eps,
                       .w_offset = a->zero_centred ? 1.0f : 0.0f,
                       .x = a->x,
                       .branch = a->branch,
                       .sum = a->sum,
                       .w = a->w,
                       .gate = a->gate,
                       .act = a->act,
                       .dy = a->dy,
                       .y = a->y,
                       .dx = a->dx,
                       .dgate = a->dgate,
                       .dw = a->dw,
                       .acc = a->acc,
                       .acc_gate = a->acc_gate};
}

static norm_args of_layer(const hy_layernorm_args *a) {
    return (norm_args){.rows = a->rows,
                       .cols = a->cols,
                       .w_rows = a->w_rows,
                       .eps = (float)a->eps,
                       .x = a->x,
                       .branch = a->branch,
                       .sum = a->sum,
                       .w = a->w,
                       .b = a->b,
                       .dy = a->dy,
                       .y = a->y,
                       .dx = a->dx,
                       .dw = a->dw,
                       .db = a->db,
                       .acc = a->acc};
}

static norm_args of_l2(const hy_l2norm_args *a) {
    return (norm_args){.rows = a->rows,
                       .cols = a->cols,
                       .w_rows = 1,
                       .eps = (float)a->eps,
                       .x = a->x,
                       .dy = a->dy,
                       .y = a->y,
                       .dx = a->dx,
                       .acc = a->acc};
}

void HY_ISA_NAME(hy_fast_rmsnorm_fwd)(const hy_rmsnorm_args *a) {
    const norm_args n = of_rms(a);
    norm_fwd(&n, NORM_RMS);
}

void HY_ISA_NAME(hy_fast_rmsnorm_bwd)(const hy_rmsnorm_args *a) {
    const norm_args n = of_rms(a);
    norm_bwd(&n, NORM_RMS);
}

void HY_ISA_NAME(hy_fast_layernorm_fwd)(const hy_layernorm_args *a) {
    const norm_args n = of_layer(a);
    norm_fwd(&n, NORM_LAYER);
}

void HY_ISA_NAME(hy_fast_layernorm_bwd)(const hy_layernorm_args *a) {
    const norm_args n = of_layer(a);
    norm_bwd(&n, NORM_LAYER);
}

void HY_ISA_NAME(hy_fast_l2norm_fwd)(const hy_l2norm_args *a) {
    const norm_args n = of_l2(a);
    norm_fwd(&n, NORM_L2);
}

void HY_ISA_NAME(hy_fast_l2norm_bwd)(const hy_l2norm_args *a) {
    const norm_args n = of_l2(a);
    norm_bwd(&n, NORM_L2);
}
