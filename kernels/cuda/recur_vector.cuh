/* Sums over keys of x_i y_j e^{G_i − G_j}, i > j, where every key has decays of its own: no product of two matrices has E in it, and
 * e^{G_i} with e^{−G_j} overflows. A pair (i, j) belongs to the level h, a power of two, that is the highest bit in which i and j differ: then
 * i is in the upper half of a block of 2h tokens, j in the lower one, and with m the first token of the upper half
 *
 *   e^{G_i − G_j} = e^{G_i − G_{m−1}} · e^{G_{m−1} − G_j},   both at most 1,
 *
 * a weight per token and level. So a level is one product of matrices, of which it keeps its pairs, whatever the decays: none is divided
 * by, no sums are subtracted. The five levels of a chunk and the diagonal are all pairs. */
#ifndef HY_KERNELS_CUDA_RECUR_VECTOR_CUH
#define HY_KERNELS_CUDA_RECUR_VECTOR_CUH

#include "kernels/cuda/recur_chunk.cuh"

namespace HY_GPU {

enum { LEVEL_FROM_BEGIN = 0, LEVEL_TO_END = CHUNK, LEVEL_FIRST = CHUNK / 2 };

/* f(i, weight of token i) at level h for a key with decays e^g = decay(i). Level 0 has all tokens in an upper half (e^{G_i}), level CHUNK in a
 * lower one (e^{G_C − G_i}). exclusive: tokens of an upper half read before their own decay. */
template <int STEPS, class D, class F> HY_DEVICE void level_weights(int h, D decay, bool exclusive, F f) {
    float upper = 1, lower = 1;
    HY_UNROLL_STEPS
    for (int i = 0; i < CHUNK; i++) {
        const bool is_upper = (i & h) == h;
        const float after = upper * decay(i);
        if (is_upper)
            f(i, exclusive ? upper : after);
        upper = is_upper ? after : 1.0f;
    }
    HY_UNROLL_STEPS
    for (int i = CHUNK - 1; i >= 0; i--) {
        const bool is_upper = (i & h) == h;
        if (!is_upper)
            f(i, lower);
        lower = is_upper ? 1.0f : lower * decay(i);
    }
}

/* dg of a key from a level's pairs: x_ij crosses the decays of tokens j + 1 .. i (exclusive: i − 1). `sums` at i·pitch: Σ_j x_ij for tokens of an
 * upper half, Σ_i x_ij for those of a lower one. Sums from there to the middle have no pair that does not cross, so nothing has to cancel,
 * and what is rounded in pairs that a strong decay does not let through never comes in. */
HY_DEVICE void level_gradients(int h, const float *sums, int pitch, bool exclusive, float dg[CHUNK]) {
    float upper = 0, lower = 0;
    const float *const again = sums + unknown(0); /* not kept from the first walk */
    HY_UNROLL
    for (int i = CHUNK - 1; i >= 0; i--) {
        const bool is_upper = (i & h) == h;
        const float from = upper + sums[i * pitch];
        dg[i] += !is_upper ? 0.0f : exclusive ? upper : from;
        upper = is_upper ? from : 0.0f;
    }
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++) {
        const bool is_upper = (i & h) == h;
        dg[i] += is_upper ? 0.0f : lower;
        lower = is_upper ? 0.0f : lower + again[i * pitch];
    }
}

/* Whether (i, j) belongs to level h. */
HY_DEVICE bool level_has(int h, int i, int j) {
    return i > j && (i ^ j) >= h && (i ^ j) < 2 * h;
}

/* e^g of a key in token i of the chunk, 1 beyond it. */
HY_DEVICE float chunk_decay(const hy_recur_args &a, const chunk_place &c, int64_t hv, int64_t key, int i) {
    return i < c.len && key < a.K ? exp_fast(log_decay(a, c.begin + i, hv, key)) : 1.0f;
}

} // namespace HY_GPU

#endif
