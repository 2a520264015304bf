/* Reference norms. With n(x) the normalised row and D = dy·weight:
 *
 *   rms    n = x·r,          r = 1/sqrt(mean x² + eps)      dx = r(D − n·mean(D n))
 *   layer  n = (x − mean)·r, r = 1/sqrt(var + eps)          dx = r(D − mean D − n·mean(D n))
 *   l2     n = x·r,          r = 1/sqrt(Σx² + eps)          dx = r(D − n·Σ(D n))
 *
 * and, where there is a gate, dy·act(gate) in dy's place.
 *
 * Those are one form: dx = r(D − mean·mean D − n·c·Σ(D n)). Weight gradients dw = Σ dy·n, db = Σ dy are summed over the
 * rows r ≡ j mod w_rows in blocks of columns kept in double on the stack. Division by the row's sum stands apart. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

#define COLUMNS 256

/* What normalising a row needs to know about it. */
typedef struct row_scale {
    double mean, r;
} row_scale;

typedef enum norm_kind { NORM_RMS, NORM_LAYER, NORM_L2 } norm_kind;

/* The three args structs as one; the arrays as in kernels.h, NULL where an operation has none. */
typedef struct norm_args {
    norm_kind kind;
    int64_t rows, cols, w_rows;
    double eps, w_offset;
    const void *x, *branch, *w, *b, *gate;
    hy_act act;
    void *sum, *y;
    const void *dy;
    void *dx;
    int acc;
    void *dgate;
    int acc_gate;
    void *dw, *db;
} norm_args;

static norm_args norm_of_rms(const hy_rmsnorm_args *a) {
    return (norm_args){.kind = NORM_RMS,
                       .rows = a->rows,
                       .cols = a->cols,
                       .w_rows = a->w_rows,
                       .eps = a->eps,
                       .w_offset = a->zero_centred ? 1 : 0,
                       .x = a->x,
                       .branch = a->branch,
                       .sum = a->sum,
                       .w = a->w,
                       .gate = a->gate,
                       .act = a->act,
                       .y = a->y,
                       .dy = a->dy,
                       .dx = a->dx,
                       .acc = a->acc,
                       .dgate = a->dgate,
                       .acc_gate = a->acc_gate,
                       .dw = a->dw};
}

static norm_args norm_of_layer(const hy_layernorm_args *a) {
    return (norm_args){.kind = NORM_LAYER,
                       .rows = a->rows,
                       .cols = a->cols,
                       .w_rows = a->w_rows,
                       .eps = a->eps,
                       .x = a->x,
                       .branch = a->branch,
                       .sum = a->sum,
                       .w = a->w,
                       .b = a->b,
                       .y = a->y,
                       .dy = a->dy,
                       .dx = a->dx,
                       .acc = a->acc,
                       .dw = a->dw,
                       .db = a->db};
}

static norm_args norm_of_l2(const hy_l2norm_args *a) {
    return (norm_args){.kind = NORM_L2,
                       .rows = a->rows,
                       .cols = a->cols,
                       .w_rows = 1,
                       .eps = a->eps,
                       .x = a->x,
                       .y = a->y,
                       .dy = a->dy,
                       .dx = a->dx,
                       .acc = a->acc};
}

#define REF_BODY "kernels/cpu/ref_norm.inc"
#include "kernels/cpu/ref_precisions.h"
