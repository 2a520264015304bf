/* Arrays whose element type is known when a kernel runs: float or bfloat16. One kernel then serves every precision and every mixture of
 * roles; the branch is the same in all threads. Sums and functions are float (double where a kernel says so). */
#ifndef HY_KERNELS_CUDA_ARRAY_CUH
#define HY_KERNELS_CUDA_ARRAY_CUH

extern "C" {
#include "kernels/kernels.h"
}
#include "kernels/cuda/prim_launch.cuh"

namespace HY_GPU {

struct array {
    void *at;
    bool half; /* bfloat16 */
};

/* An argument of an operation in a run of precision P. */
template <hy_dtype P> static inline array array_of(hy_role role, const void *at) {
    return {const_cast<void *>(at), hy_dtype_of(P, role) == HY_BF16};
}

/* From its element on; NULL stays NULL. */
static inline array behind(array a, int64_t elements) {
    if (a.at != nullptr)
        a.at = static_cast<char *>(a.at) + elements * (a.half ? 2 : 4);
    return a;
}

HY_DEVICE float get(const array &a, int64_t i) {
    return a.half ? float_of_bits((uint32_t) static_cast<const uint16_t *>(a.at)[i] << 16)
                  : static_cast<const float *>(a.at)[i];
}

HY_DEVICE void put(const array &a, int64_t i, float value) {
    if (a.half)
        static_cast<uint16_t *>(a.at)[i] = bf16_bits(value);
    else
        static_cast<float *>(a.at)[i] = value;
}

/* What get would give of it after put. */
HY_DEVICE float rounded(const array &a, float value) {
    return a.half ? float_of_bits((uint32_t)bf16_bits(value) << 16) : value;
}

/* put, or add to what is there. */
HY_DEVICE void put_or_add(const array &a, int64_t i, float value, int add) {
    put(a, i, add ? get(a, i) + value : value);
}

/* ---- SPAN neighbours at a time: where they are aligned, in one transfer of 16 bytes or two ---- */

enum { SPAN = 8 };

HY_DEVICE bool is_aligned(const array &a, int64_t i) {
    return ((uintptr_t)a.at + (uintptr_t)i * (a.half ? 2 : 4)) % 16 == 0;
}

/* x = elements i .. i + n − 1, zeros behind. */
HY_DEVICE void get_span(const array &a, int64_t i, int n, float x[SPAN]) {
    if (n < SPAN || !is_aligned(a, i)) {
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] = j < n ? get(a, i + j) : 0.0f;
    } else if (a.half) {
        uint32_t bits[4];
        load16(static_cast<const uint16_t *>(a.at) + i, bits);
        HY_UNROLL
        for (int j = 0; j < 4; j++)
            x[2 * j] = bf16_low(bits[j]), x[2 * j + 1] = bf16_high(bits[j]);
    } else {
        HY_UNROLL
        for (int h = 0; h < 2; h++) {
            uint32_t bits[4];
            load16(static_cast<const float *>(a.at) + i + 4 * h, bits);
            HY_UNROLL
            for (int j = 0; j < 4; j++)
                x[4 * h + j] = float_of_bits(bits[j]);
        }
    }
}

HY_DEVICE void put_span(const array &a, int64_t i, int n, const float x[SPAN]) {
    if (n < SPAN || !is_aligned(a, i)) {
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            if (j < n)
                put(a, i + j, x[j]);
    } else if (a.half) {
        uint32_t bits[4];
        HY_UNROLL
        for (int j = 0; j < 4; j++)
            bits[j] = bf16_pair(x[2 * j], x[2 * j + 1]);
        store16(static_cast<uint16_t *>(a.at) + i, bits);
    } else {
        HY_UNROLL
        for (int h = 0; h < 2; h++) {
            uint32_t bits[4];
            HY_UNROLL
            for (int j = 0; j < 4; j++)
                bits[j] = bits_of_float(x[4 * h + j]);
            store16(static_cast<float *>(a.at) + i + 4 * h, bits);
        }
    }
}

/* x, or x + what is there. */
HY_DEVICE void put_span_or_add(const array &a, int64_t i, int n, const float x[SPAN], int add) {
    float sum[SPAN];
    if (add)
        get_span(a, i, n, sum);
    HY_UNROLL
    for (int j = 0; j < SPAN; j++)
        sum[j] = add ? sum[j] + x[j] : x[j];
    put_span(a, i, n, sum);
}

/* ---- loops over a grid ---- */

enum { EACH_THREADS = 256, EACH_BLOCKS = 2048 };

static inline grid blocks_for(int64_t items) {
    const int64_t blocks = (items + EACH_THREADS - 1) / EACH_THREADS;
    return grid(blocks < EACH_BLOCKS ? blocks : (int64_t)EACH_BLOCKS);
}

HY_DEVICE int64_t grid_thread() {
    return block_x() * block_threads() + thread_index();
}
HY_DEVICE int64_t grid_threads() {
    return grid_x() * block_threads();
}

/* For each item of the grid's in turn: call(i). */
template <class F> HY_DEVICE void each(int64_t n, F call) {
    for (int64_t i = grid_thread(); i < n; i += grid_threads())
        call(i);
}

/* For each span of n elements: call(first, how many). */
template <class F> HY_DEVICE void each_span(int64_t n, F call) {
    for (int64_t i = grid_thread() * SPAN; i < n; i += grid_threads() * SPAN)
        call(i, n - i < SPAN ? (int)(n - i) : (int)SPAN);
}

static inline grid blocks_for_spans(int64_t n) {
    return blocks_for((n + SPAN - 1) / SPAN);
}

} // namespace HY_GPU

#endif
