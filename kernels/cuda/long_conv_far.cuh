/* What the kernels of one level of long convolutions share. */
#ifndef HY_KERNELS_CUDA_LONG_CONV_FAR_CUH
#define HY_KERNELS_CUDA_LONG_CONV_FAR_CUH

#include "kernels/cuda/long_conv.cuh"

namespace HY_GPU {

struct far_of {
    lines l;
    level v;
};

/* ---- products of transforms: long_conv_product.cu ---- */

struct far_product_of {
    far_of f;
    const float *taps, *from;
    float *to;
    bool back; /* dx from dy, by conjugates */
};
void long_far_product(const far_product_of &product);

/* Gradients of taps: sums over parts of a line. */
struct far_taps_of {
    far_of f;
    const float *x, *dy;
    float *partial, *taps; /* [C, parts, lags, stride], [C, lags, stride] */
    int64_t parts, part_blocks;
};
void long_far_taps(const far_taps_of &taps);

} // namespace HY_GPU

#endif
