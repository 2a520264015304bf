/* Embeddings and biases. Gradients of embeddings add up in the order of tokens without a sort or an atomic: a block owns the tokens
 * whose number has its remainder, reads all tokens, and adds the rows of its own. */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct embed_of {
    int64_t T, D, frozen;
    const int32_t *tokens;
    array w, rows; /* [vocab,D]; [T,D] */
};

HY_KERNEL(EACH_THREADS, embed_fwd_kernel)(const embed_of a) {
    const int64_t warps = grid_threads() / 32;
    for (int64_t t = grid_thread() / 32; t < a.T; t += warps) {
        for (int64_t c = lane_index() * SPAN; c < a.D; c += 32 * SPAN) {
            float x[SPAN];
            const int n = a.D - c < SPAN ? (int)(a.D - c) : (int)SPAN;
            get_span(a.w, a.tokens[t] * a.D + c, n, x);
            put_span(a.rows, t * a.D + c, n, x);
        }
    }
}

/* Grid: remainders × stripes of columns. The found tokens of EACH_THREADS neighbours are put together by ballots, in order. */
HY_KERNEL(EACH_THREADS, embed_bwd_kernel)(const embed_of a) {
    uint32_t *found = shared_at<uint32_t>(0); /* [EACH_THREADS/32] */
    const int64_t stripe = block_y() * EACH_THREADS + thread_index();
    for (int64_t t0 = 0; t0 < a.T; t0 += EACH_THREADS) {
        const int64_t t = t0 + thread_index();
        const int32_t token = t < a.T ? a.tokens[t] : -1;
        const uint32_t votes = ballot(token >= 0 && token % grid_x() == block_x() && token != a.frozen);
        if (lane_index() == 0)
            found[warp_index()] = votes;
        barrier();
        for (int w = 0; w < EACH_THREADS / 32; w++) {
            for (uint32_t left = found[w]; left != 0; left &= left - 1) {
                const int64_t at = t0 + 32 * w + first_bit(left);
                for (int64_t c = stripe; c < a.D; c += grid_y() * EACH_THREADS)
                    put_or_add(a.w, a.tokens[at] * a.D + c, get(a.rows, at * a.D + c), 1);
            }
        }
        barrier();
    }
}

enum { REMAINDERS = 509, STRIPES_MAX = 8 };

template <hy_dtype P> static void embed_fwd(const hy_embed_args *a) {
    const embed_of args = {
        a->T, a->D, a->frozen, a->tokens, array_of<P>(HY_ROLE_WEIGHT, a->w), array_of<P>(HY_ROLE_ACT, a->y)};
    HY_LAUNCH(embed_fwd_kernel, blocks_for(32 * a->T), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void embed_bwd(const hy_embed_args *a) {
    const embed_of args = {
        a->T, a->D, a->frozen, a->tokens, array_of<P>(HY_ROLE_GRAD, a->dw), array_of<P>(HY_ROLE_ACT, a->dy)};
    const int64_t stripes = (a->D + EACH_THREADS - 1) / EACH_THREADS;
    const int64_t remainders = a->vocab < REMAINDERS ? a->vocab : (int64_t)REMAINDERS;
    if (a->T > 0)
        HY_LAUNCH(embed_bwd_kernel, grid(remainders, stripes < STRIPES_MAX ? stripes : (int64_t)STRIPES_MAX),
                  EACH_THREADS, EACH_THREADS / 32 * sizeof(uint32_t), args);
}

/* ---- bias ---- */

struct bias_of {
    int64_t n, cols;
    const float *bias;
    array y;
};

HY_KERNEL(EACH_THREADS, bias_fwd_kernel)(const bias_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float y[SPAN];
        get_span(a.y, i, n, y);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            if (j < n)
                y[j] += a.bias[(i + j) % a.cols];
        put_span(a.y, i, n, y);
    });
}

template <hy_dtype P> static void bias_fwd(const hy_bias_args *a) {
    const bias_of args = {a->rows * a->cols, a->cols, static_cast<const float *>(a->bias), array_of<P>(a->role, a->y)};
    HY_LAUNCH(bias_fwd_kernel, blocks_for_spans(args.n), EACH_THREADS, 0, args);
}

struct bias_terms {
    int64_t cols;
    array dy;
    float *dbias;
    HY_MEMBER float at(int64_t r, int64_t c) const {
        return get(dy, r * cols + c);
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        dbias[c] += sum;
    }
};

template <hy_dtype P> static void bias_bwd(const hy_bias_args *a) {
    column_sums(a->rows, a->cols, bias_terms{a->cols, array_of<P>(a->role, a->dy), static_cast<float *>(a->dbias)});
}

template <hy_dtype P> static void embed_entries(hy_table *table) {
    table->embed_fwd = embed_fwd<P>;
    table->embed_bwd = embed_bwd<P>;
    table->bias_fwd = bias_fwd<P>;
    table->bias_bwd = bias_bwd<P>;
}

void overlay_embed(hy_table *table) {
    HY_OVERLAY(embed_entries, table);
}

} // namespace HY_GPU
