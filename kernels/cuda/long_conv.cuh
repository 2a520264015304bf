/* Convolutions as long as documents, packed in any way, without knowing on the host where documents begin. Tokens are cut into aligned
 * blocks of 128. A pair of tokens s < t inside one block is computed as it stands ("near"), all other pairs by Fourier transforms ("far"),
 * on levels of blocks b = 128, 2048, ...: on each level those pairs whose blocks i < j differ and lie in one group of 16, up to the level
 * whose blocks are long enough for one group of all.
 *
 * For a pair of blocks, "s and t are of one document" falls apart into three: s is of the document D_i that block i ends with, t of the one
 * that block j begins with, D'_j, and these are the same. So with x masked by the first, and y by the second,
 *
 *   Y^_j = Σ_i H^_{j−i} X^_i;   dX^_i = Σ_j H^*_{j−i} dY^_j;   dH^_k = Σ_i X^*_i dY^_{i+k}     over i < j with D_i = D'_j
 *
 * where ^ are transforms of 2b points, blocks filled up with zeros, and H_k has the lags between kb − b and kb + b, lag kb first. The i of
 * a j follow each other and end with j − 1, so do the j of an i. */
#ifndef HY_KERNELS_CUDA_LONG_CONV_CUH
#define HY_KERNELS_CUDA_LONG_CONV_CUH

#include "kernels/cuda/array.cuh"

namespace HY_GPU {

enum { NEAR_SHIFT = 7, NEAR = 1 << NEAR_SHIFT, GROUP_SHIFT = 4 };
enum : int64_t { GROUP = 1 << GROUP_SHIFT, LAGS_MAX = 32 }; /* blocks; LAGS_MAX: of the highest level */

/* Some channels; token t's document is [first[t], behind[t]). */
struct lines {
    int64_t C, T, L;
    const int64_t *first, *behind;
};

/* ---- near ---- */

struct docs_of {
    int64_t T, n;
    const int64_t *docs;
    int64_t *first, *behind;
};
void long_docs(const docs_of &d);

/* to[t] = sum[t] (if there is one) + Σ_s h[t−s] from[s]; `back`: Σ_s h[s−t] from[s]. */
void long_near(const lines &l, array from, const float *h, const float *sum, array to, bool back);
/* dh, all of it: the near part, zeros beyond. partial: [C, long_near_parts(T), NEAR]. */
void long_near_taps(const lines &l, array x, array dy, float *partial, float *dh);
int64_t long_near_parts(int64_t T);

/* ---- far ---- */

struct level {
    int64_t block, blocks, group, lags; /* tokens; blocks of a line, of a group; lags in blocks, 1 to this */
    int shift;                          /* block = 2^shift */
    int64_t stride;                     /* floats of a row: a transform, up to a multiple of 64 bytes */
};

/* Blocks that a pair of tokens can be apart. */
static inline int64_t far_lags(int64_t T, int64_t L, int64_t block) {
    const int64_t reach = L < 2 ? 0 : (L - 2) / block + 1, last = (T + block - 1) / block - 1;
    return reach < last ? reach : last;
}

/* Levels for documents of up to L tokens, the lowest first. */
enum { LEVELS = 16 };
static inline int long_levels(int64_t T, int64_t L, level levels[LEVELS]) {
    int n = 0;
    for (int shift = NEAR_SHIFT; n < LEVELS; shift += GROUP_SHIFT) {
        const int64_t block = INT64_C(1) << shift, blocks = (T + block - 1) >> shift, stride = 2 * block + 16,
                      lags = far_lags(T, L, block);
        if (lags <= 0)
            break;
        if (lags <= LAGS_MAX) {
            levels[n++] = {block, blocks, blocks, lags, shift, stride};
            break;
        }
        levels[n++] = {block, blocks, GROUP, GROUP - 1, shift, stride};
    }
    return n;
}

/* Memory of one call: rows are [C, blocks, stride], taps [C, lags, stride]. */
struct far_work {
    float *x, *dy, *dx, *taps, *area;
    size_t area_bytes;
    float *sum; /* [C,T], over levels */
};

/* work.sum (= on the first level, += on others) what this level adds to y; to dx, and to dh as it stands. */
void long_far_fwd(const lines &l, const level &v, bool is_first, array x, const float *h, const far_work &work);
void long_far_bwd(const lines &l, const level &v, bool is_first, array x, array dy, const float *h, float *dh,
                  const far_work &work);

} // namespace HY_GPU

#endif
