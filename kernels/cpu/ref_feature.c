/* Reference feature maps of linear attention, and the division by a normalising column. Rows are shared among threads:
 * of these, other tables replace only the softmaxes. */
#include <math.h>

#include "kernels/kernels.h"

/* TAYLOR and SQUARE are [one | linear·x_i | square·x_i² | cross·x_i x_j, i < j]; without a first degree the first two parts are absent. */
typedef struct quadratic {
    int has_low;
    double linear, square, cross;
} quadratic;

static quadratic quadratic_of(const hy_feature_args *a) {
    const double d = (double)a->cols;
    if (a->kind == HY_FEATURES_TAYLOR)
        return (quadratic){1, pow(d, -0.25), 1 / sqrt(2 * d), 1 / sqrt(d)};
    return (quadratic){0, 0, 1 / sqrt(d), sqrt(2 / d)};
}

static double positive(double x) {
    return x > 0 ? x : 0;
}

/* Rows under which starting threads costs more than it saves. */
#define PARALLEL_ROWS 256

/* e^(sign·x − top) over the row, its sum, and the mean of dy by these weights. */
typedef struct softmax_row {
    double sign, top, sum, mean;
} softmax_row;

#define REF_BODY "kernels/cpu/ref_feature.inc"
#include "kernels/cpu/ref_precisions.h"
