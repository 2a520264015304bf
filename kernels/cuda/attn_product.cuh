/* Products of tiles that lie in the block's memory, in either precision: bf16 by one mma, float by three of tf32 (x = high + low, of four
 * products the three large ones, Ozaki's splitting: off by 2^-21). A warp multiplies 16 rows with 16 of k and 16 columns at a time; which k
 * stands where is the same in left and right and nobody else's business.
 *
 * A tile is row-major with `ld` cells between rows: columns rounded up to 16, and 8 more, so that neither ldmatrix nor loads of two floats
 * meet in a bank. What it has beyond the array is zero. */
#ifndef HY_KERNELS_CUDA_ATTN_PRODUCT_CUH
#define HY_KERNELS_CUDA_ATTN_PRODUCT_CUH

#include "kernels/cuda/array.cuh"
#include "kernels/cuda/prim_tile.cuh"

namespace HY_GPU {

HY_BOTH int tile_cols(int64_t cols) {
    return ((int)cols + 15) / 16 * 16;
}
HY_BOTH int tile_ld(int64_t cols) {
    return tile_cols(cols) + 8;
}

/* ---- bf16 ---- */

struct half_product {
    typedef uint16_t cell;
    struct left {
        uint32_t x[4];
    };
    struct right {
        uint32_t x[4];
    };

    /* Rows 0..15 and columns 0..15 of what `tile` points to. */
    HY_DEVICE left left_at(const cell *tile, int ld) {
        left l;
        const int lane = lane_index();
        tile_load4(l.x, tile + (lane & 15) * ld + 8 * (lane >> 4));
        return l;
    }
    /* Columns of the product are rows of the tile. */
    HY_DEVICE right right_at(const cell *tile, int ld) {
        right r;
        const int lane = lane_index();
        tile_load4(r.x, tile + ((lane & 7) + 8 * (lane >> 4)) * ld + 8 * (lane >> 3 & 1));
        return r;
    }
    /* Columns of the product are columns of the tile. */
    HY_DEVICE right right_turned_at(const cell *tile, int ld) {
        right r;
        const int lane = lane_index();
        tile_load4_turned(r.x, tile + (lane & 15) * ld + 8 * (lane >> 4));
        return r;
    }
    /* A product's result, columns 0..7 and 8..15, rounded. */
    HY_DEVICE left left_of(const float c0[4], const float c1[4]) {
        return {{bf16_pair(c0[0], c0[1]), bf16_pair(c0[2], c0[3]), bf16_pair(c1[0], c1[1]), bf16_pair(c1[2], c1[3])}};
    }
    /* c: two tiles of eight columns, += left · right. */
    HY_DEVICE void multiply(float c[2][4], const left &l, const right &r) {
        mma_bf16(c[0], l.x, r.x);
        mma_bf16(c[1], l.x, r.x + 2);
    }
};

/* ---- float ---- */

/* In a step of eight of k, mma's k t and t + 4 are columns 2t and 2t + 1: those that a lane has of a result, and neighbours in memory. */
struct float_product {
    typedef float cell;
    struct left {
        float x[2][4]; /* of two steps */
    };
    struct right {
        float x[2][2][2]; /* of two steps, of two tiles of columns */
    };

    HY_DEVICE left left_at(const cell *tile, int ld) {
        left l;
        const int g = lane_index() >> 2, t = lane_index() & 3;
        HY_UNROLL
        for (int s = 0; s < 2; s++)
            HY_UNROLL
        for (int h = 0; h < 2; h++) {
            uint32_t pair[2];
            load8(tile + (g + 8 * h) * ld + 8 * s + 2 * t, pair);
            l.x[s][h] = float_of_bits(pair[0]), l.x[s][2 + h] = float_of_bits(pair[1]);
        }
        return l;
    }
    HY_DEVICE right right_at(const cell *tile, int ld) {
        right r;
        const int g = lane_index() >> 2, t = lane_index() & 3;
        HY_UNROLL
        for (int s = 0; s < 2; s++)
            HY_UNROLL
        for (int n = 0; n < 2; n++) {
            uint32_t pair[2];
            load8(tile + (g + 8 * n) * ld + 8 * s + 2 * t, pair);
            r.x[s][n][0] = float_of_bits(pair[0]), r.x[s][n][1] = float_of_bits(pair[1]);
        }
        return r;
    }
    HY_DEVICE right right_turned_at(const cell *tile, int ld) {
        right r;
        const int g = lane_index() >> 2, t = lane_index() & 3;
        HY_UNROLL
        for (int s = 0; s < 2; s++)
            HY_UNROLL
        for (int n = 0; n < 2; n++)
            HY_UNROLL
        for (int i = 0; i < 2; i++)
            r.x[s][n][i] = tile[(8 * s + 2 * t + i) * ld + g + 8 * n];
        return r;
    }
    HY_DEVICE left left_of(const float c0[4], const float c1[4]) {
        return {{{c0[0], c0[2], c0[1], c0[3]}, {c1[0], c1[2], c1[1], c1[3]}}};
    }
    /* The nearest number of 11 bits. */
    HY_DEVICE uint32_t high_of(float x) {
        return (bits_of_float(x) + 0x1000u) & ~0x1fffu;
    }
    HY_DEVICE uint32_t low_of(float x, uint32_t high) {
        return bits_of_float(x - float_of_bits(high));
    }
    HY_DEVICE void multiply(float c[2][4], const left &l, const right &r) {
        HY_UNROLL
        for (int s = 0; s < 2; s++) {
            uint32_t high[4], low[4];
            HY_UNROLL
            for (int i = 0; i < 4; i++)
                high[i] = high_of(l.x[s][i]), low[i] = low_of(l.x[s][i], high[i]);
            HY_UNROLL
            for (int n = 0; n < 2; n++) {
                uint32_t right_high[2], right_low[2];
                HY_UNROLL
                for (int i = 0; i < 2; i++)
                    right_high[i] = high_of(r.x[s][n][i]), right_low[i] = low_of(r.x[s][n][i], right_high[i]);
                mma_tf32(c[n], low, right_high);
                mma_tf32(c[n], high, right_low);
                mma_tf32(c[n], high, right_high);
            }
        }
    }
};

template <hy_dtype P> struct product_of;
template <> struct product_of<HY_BF16> { typedef half_product type; };
template <> struct product_of<HY_F32> { typedef float_product type; };

/* c [16·M rows][8·N columns] of a warp, as tiles of its mma. */
template <int M, int N> struct sums {
    float x[M][N][4];

    HY_DEVICE void clear(sums &c) {
        HY_UNROLL
        for (int m = 0; m < M; m++)
            HY_UNROLL
        for (int n = 0; n < N; n++)
            HY_UNROLL
        for (int i = 0; i < 4; i++)
            c.x[m][n][i] = 0.0f;
    }
};

/* c = A·Bᵀ over k < depth (a multiple of 16): A from the warp's first row on, B of 8·N rows. STEPS at once, as registers allow. */
template <class P, int M, int N, int STEPS = 1>
HY_DEVICE void multiply_rows(sums<M, N> &c, const typename P::cell *a, const typename P::cell *b, int ld, int depth) {
    sums<M, N>::clear(c);
    HY_UNROLL_STEPS
    for (int k = 0; k < depth; k += 16) {
        typename P::left left[M];
        HY_UNROLL
        for (int m = 0; m < M; m++)
            left[m] = P::left_at(a + 16 * m * ld + k, ld);
        HY_UNROLL
        for (int n = 0; n < N; n += 2) {
            const typename P::right right = P::right_at(b + 8 * n * ld + k, ld);
            HY_UNROLL
            for (int m = 0; m < M; m++)
                P::multiply(&c.x[m][n], left[m], right);
        }
    }
}

/* c += W·B over the columns of W, which are rows of B: the first `cols` columns of B (a multiple of 16). */
template <class P, int M, int K, int N>
HY_DEVICE void multiply_sums(sums<M, N> &c, const sums<M, K> &w, const typename P::cell *b, int ld, int cols) {
    HY_UNROLL
    for (int k = 0; k < K; k += 2) {
        typename P::left left[M];
        HY_UNROLL
        for (int m = 0; m < M; m++)
            left[m] = P::left_of(w.x[m][k], w.x[m][k + 1]);
        HY_UNROLL
        for (int n = 0; n < N; n += 2) {
            if (8 * n < cols) {
                const typename P::right right = P::right_turned_at(b + 8 * k * ld + 8 * n, ld);
                HY_UNROLL
                for (int m = 0; m < M; m++)
                    P::multiply(&c.x[m][n], left[m], right);
            }
        }
    }
}

/* Rows of an array: cols of each, from `at` on, `stride` elements apart. */
template <class T> struct some_rows {
    const T *at;
    int64_t stride;
    int n, cols;
};

/* A tile of `rows` rows of which the array has some, by all threads of the block, 16 for each row: behind copy_commit, copy_wait and a barrier
 * it is there. aligned: every row is, to 16 bytes. */
template <class T> HY_DEVICE void load_tile(T *tile, int ld, int rows, const some_rows<T> &from, bool aligned) {
    const int span = aligned ? 16 / (int)sizeof(T) : 1, down = block_threads() / 16;
    HY_ROLLED
    for (int row = thread_index() / 16; row < rows; row += down)
        HY_ROLLED
    for (int col = thread_index() % 16 * span; col < ld - 8; col += 16 * span) {
        const bool there = row < from.n && col < from.cols;
        const T *source = there ? from.at + row * from.stride + col : from.at;
        T *cell = tile + row * ld + col;
        if (aligned)
            copy_async(cell, source, there ? 16 : 0);
        else
            *cell = there ? *source : (T)0;
    }
}

} // namespace HY_GPU

#endif
