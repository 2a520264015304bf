/* Softmax cross-entropy, a block per row: largest logit and Σ e^(x − largest) in one pass, gradients in a second. Losses of rows lie in the
 * workspace until one warp adds them up in order, in double. */
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct loss_of {
    int64_t rows, vocab;
    const int32_t *labels;
    const float *logits;
    array dlogits;
    int grad;
    const double *d_scale;
    double *loss, *row_loss, *losses; /* losses: [rows] of the workspace */
    uint8_t *row_correct;
};

enum { LOSS_THREADS = 256, LOSS_WARPS = LOSS_THREADS / 32 };

/* Of some logits: the largest, the first place where it stands, and Σ e^(x − largest). */
struct softmax_part {
    float top, sum;
    int64_t at;
};

/* NaN stays in the sum. */
HY_DEVICE softmax_part joined(const softmax_part &a, const softmax_part &b) {
    const bool b_first = !(b.top < a.top || (b.top == a.top && a.at <= b.at));
    const float top = b_first ? b.top : a.top;
    if (top == -INFINITY)
        return b_first ? b : a;
    return {top, a.sum * expf(a.top - top) + b.sum * expf(b.top - top), b_first ? b.at : a.at};
}

HY_DEVICE softmax_part joined_over_warp(softmax_part mine) {
    for (int bits = 16; bits > 0; bits >>= 1) {
        const softmax_part other = {shuffle_xor(mine.top, bits), shuffle_xor(mine.sum, bits),
                                    shuffle_xor(mine.at, bits)};
        mine = (lane_index() & bits) == 0 ? joined(mine, other) : joined(other, mine);
    }
    return mine;
}

/* The whole row's, in every thread; a barrier must come before the next row's. */
HY_DEVICE softmax_part softmax_of_row(const float *x, int64_t vocab) {
    softmax_part *parts = shared_at<softmax_part>(0); /* [LOSS_WARPS] */
    softmax_part mine = {-INFINITY, 0, INT64_MAX};
    for (int64_t c = thread_index(); c < vocab; c += LOSS_THREADS)
        mine = joined(mine, {x[c], 1, c});
    mine = joined_over_warp(mine);
    if (lane_index() == 0)
        parts[warp_index()] = mine;
    barrier();
    mine = parts[0];
    for (int w = 1; w < LOSS_WARPS; w++)
        mine = joined(mine, parts[w]);
    return mine;
}

HY_KERNEL(LOSS_THREADS, cross_entropy_kernel)(const loss_of a) {
    for (int64_t r = block_x(); r < a.rows; r += grid_x()) {
        const float *x = a.logits + r * a.vocab;
        const int64_t label = a.labels[r];
        const bool counted = label >= 0;
        const softmax_part all = softmax_of_row(x, a.vocab);
        const float log_sum = logf(all.sum), lse = all.top + log_sum;
        if (thread_index() == 0) {
            const double loss = counted ? (double)log_sum + ((double)all.top - (double)x[label]) : 0.0;
            a.losses[r] = loss;
            if (a.row_loss != nullptr)
                a.row_loss[r] = loss;
            if (a.row_correct != nullptr)
                a.row_correct[r] = counted && all.at == label;
        }
        barrier(); /* x[label] is read before dlogits, which may be where logits are, is written */
        if (!a.grad)
            continue;
        const float d_scale = (float)*a.d_scale;
        for (int64_t c = thread_index(); c < a.vocab; c += LOSS_THREADS)
            put(a.dlogits, r * a.vocab + c, counted ? d_scale * (expf(x[c] - lse) - (c == label ? 1.0f : 0.0f)) : 0.0f);
    }
}

/* *total += Σ parts, in an order that n gives: a lane adds every 32nd. */
struct total_of {
    int64_t n;
    const double *parts;
    double *total;
};

HY_KERNEL(32, total_kernel)(const total_of a) {
    double sum = 0;
    for (int64_t i = lane_index(); i < a.n; i += 32)
        sum += a.parts[i];
    sum = warp_sum(sum);
    if (lane_index() == 0)
        *a.total += sum;
}

template <hy_dtype P> static void cross_entropy(const hy_cross_entropy_args *a) {
    double *losses = static_cast<double *>(workspace((size_t)a->rows * sizeof(double)));
    const loss_of args = {a->rows,
                          a->vocab,
                          a->labels,
                          static_cast<const float *>(a->logits),
                          array_of<P>(HY_ROLE_ACT, a->dlogits),
                          a->grad,
                          a->d_scale,
                          a->loss,
                          a->row_loss,
                          losses,
                          a->row_correct};
    const total_of sum = {a->rows, losses, a->loss};
    HY_LAUNCH(cross_entropy_kernel, grid(a->rows), LOSS_THREADS, LOSS_WARPS * sizeof(softmax_part), args);
    HY_LAUNCH(total_kernel, grid(a->rows > 0), 32, 0, sum);
}

/* ---- sum of squares: a double per block ---- */

struct sumsq_of {
    int64_t n;
    array x;
    double *parts; /* [blocks] */
};

enum { SUMSQ_BLOCKS = 1024 };

HY_KERNEL(EACH_THREADS, sumsq_kernel)(const sumsq_of a) {
    double *sums = shared_at<double>(0); /* [warps] */
    double sum = 0;
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN];
        get_span(a.x, i, n, x);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            sum += (double)x[j] * x[j];
    });
    sum = warp_sum(sum);
    if (lane_index() == 0)
        sums[warp_index()] = sum;
    barrier();
    if (thread_index() > 0)
        return;
    for (int w = 1; w < EACH_THREADS / 32; w++)
        sum += sums[w];
    a.parts[block_x()] = sum;
}

static void sumsq(const hy_sumsq_args *a) {
    const int64_t spans = (a->n + SPAN - 1) / SPAN, wanted = (spans + EACH_THREADS - 1) / EACH_THREADS;
    const int64_t blocks = wanted < SUMSQ_BLOCKS ? wanted : (int64_t)SUMSQ_BLOCKS;
    double *parts = static_cast<double *>(workspace(SUMSQ_BLOCKS * sizeof(double)));
    const sumsq_of args = {a->n, {const_cast<void *>(a->x), false}, parts};
    const total_of sum = {blocks, parts, a->sum};
    HY_LAUNCH(sumsq_kernel, grid(blocks), EACH_THREADS, EACH_THREADS / 32 * sizeof(double), args);
    HY_LAUNCH(total_kernel, grid(a->n > 0), 32, 0, sum);
}

template <hy_dtype P> static void loss_entries(hy_table *table) {
    table->cross_entropy = cross_entropy<P>;
    table->sumsq = sumsq;
}

void overlay_loss(hy_table *table) {
    HY_OVERLAY(loss_entries, table);
}

} // namespace HY_GPU
