/* A warp per row, lanes along it. */
#ifndef HY_KERNELS_CUDA_ROWS_CUH
#define HY_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/array.cuh"

namespace HY_GPU {

/* For every row, with the warp: call(row). */
template <class F> HY_DEVICE void each_row(int64_t rows, F call) {
    const int64_t warps = grid_threads() / 32;
    for (int64_t row = grid_thread() / 32; row < rows; row += warps)
        call(row);
}

/* For i < n, one per lane. */
template <class F> HY_DEVICE void each_lane(int64_t n, F call) {
    for (int64_t i = lane_index(); i < n; i += 32)
        call(i);
}

/* Σ term(i), i < n. */
template <class F> HY_DEVICE float lane_sum(int64_t n, F term) {
    float sum = 0;
    each_lane(n, [&](int64_t i) { sum += term(i); });
    return warp_sum(sum);
}

static inline grid blocks_for_rows(int64_t rows) {
    return blocks_for(32 * rows);
}

} // namespace HY_GPU

#endif
