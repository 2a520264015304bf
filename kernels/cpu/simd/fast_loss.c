/* Softmax cross-entropy, one row at a time in two passes: the first keeps a running maximum m and Σ exp(x − m),
 * rescaled when m grows (per piece of a row that fits the first cache), the second overwrites the row with its
 * gradient. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"

#define PIECE 1024

static float piece_max(const float *x, int64_t n) {
    hy_vec max = hy_vec_set(-INFINITY);
    int64_t c = 0;
    for (; c + HY_VL <= n; c += HY_VL)
        max = hy_vec_max(max, hy_vec_load(x + c));
    float m = hy_vec_max_lane(max);
    for (; c < n; c++)
        m = m < x[c] ? x[c] : m;
    return m;
}

static double piece_sum(const float *x, int64_t n, float max) {
    const hy_vec m = hy_vec_set(max);
    hy_vec sum = hy_vec_zero();
    int64_t c = 0;
    for (; c + HY_VL <= n; c += HY_VL)
        sum += hy_vec_exp(hy_vec_load(x + c) - m);
    if (c < n) {
        hy_vec e = hy_vec_exp(hy_vec_load_tail(x + c, n - c) - m);
        sum += hy_vec_select((hy_ivec)(hy_ivec_iota() < hy_ivec_set((int32_t)(n - c))), e, hy_vec_zero());
    }
    return (double)hy_vec_sum(sum);
}

static double row_lse(const float *x, int64_t n) {
    float max = -INFINITY;
    double sum = 0;
    for (int64_t c = 0; c < n; c += PIECE) {
        const int64_t count = n - c < PIECE ? n - c : PIECE;
        const float m = piece_max(x + c, count);
        if (m > max) {
            sum *= exp((double)max - (double)m);
            max = m;
        }
        sum += piece_sum(x + c, count, max);
    }
    return (double)max + log(sum);
}

static void row_gradient(const float *x, hy_elem *dx, int64_t n, int32_t label, double lse, double d_scale) {
    /* x − lse in two parts: lse rounded to float would cost digits of every probability. */
    const float high = (float)lse, low = (float)(lse - (double)high);
    const hy_vec at = hy_vec_set(high), rest = hy_vec_set(low), scale = hy_vec_set((float)d_scale);
    const hy_range all = {0, n};
#define STEP(c, count)                                                                                                 \
    hy_vec_store_tail(dx + (c), scale * hy_vec_exp(hy_vec_load_tail(x + (c), count) - at - rest), count)
    const hy_vec own = scale * hy_vec_exp(hy_vec_set(x[label]) - at - rest); /* before dx, which may be x */
    HY_FOR_VECS(c, all, STEP);
#undef STEP
    hy_elem_put(&dx[label], own[0] - (float)d_scale);
}

/* Whether x[label] exceeds everything before it and nothing after it exceeds it. */
static uint8_t is_argmax(const float *x, int64_t n, int32_t label) {
    const float own = x[label];
    int64_t above = 0;
    for (int64_t c = 0; c < label; c++)
        above += !(x[c] < own);
    for (int64_t c = label + 1; c < n; c++)
        above += !(x[c] <= own);
    return above == 0;
}

static double row_loss(const hy_cross_entropy_args *a, int64_t r) {
    const float *x = (const float *)a->logits + r * a->vocab;
    hy_elem *dx = (hy_elem *)a->dlogits + r * a->vocab;
    if (a->row_correct != NULL)
        a->row_correct[r] = a->labels[r] >= 0 && is_argmax(x, a->vocab, a->labels[r]);
    if (a->labels[r] < 0) {
        if (a->grad)
            memset(dx, 0, (size_t)a->vocab * sizeof *dx);
        return 0;
    }
    const double lse = row_lse(x, a->vocab), loss = lse - (double)x[a->labels[r]];
    if (a->grad)
        row_gradient(x, dx, a->vocab, a->labels[r], lse, *a->d_scale);
    return loss;
}

void HY_ISA_NAME(hy_fast_cross_entropy)(const hy_cross_entropy_args *a) {
    double total = 0;
#pragma omp parallel if (a->rows * a->vocab >= HY_PARALLEL_MIN)
    {
        const hy_range mine = hy_thread_range(a->rows, 1);
        double sum = 0;
        for (int64_t r = mine.begin; r < mine.end; r++) {
            const double loss = row_loss(a, r);
            if (a->row_loss != NULL)
                a->row_loss[r] = loss;
            sum += loss;
        }
#pragma omp for ordered schedule(static, 1)
        for (int t = 0; t < omp_get_num_threads(); t++) {
#pragma omp ordered
            total += sum;
        }
    }
    *a->loss += total;
}
