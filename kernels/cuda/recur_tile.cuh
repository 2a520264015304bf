/* Products of tiles of 16×16 on tensor cores, the same for both element types: bfloat16 in one pass; float in three of tf32 (of the upper and
 * lower halves of the factors, without the product of the two lower ones).
 *
 * Accumulators are two tiles of 16×8, c[0] and c[1], a row of 16. With float the 8 values of k in an instruction are taken in the order
 * 0 2 4 6 1 3 5 7 on both sides: a lane's accumulators are then a lane's left operand, and its right one two neighbours. */
#ifndef HY_KERNELS_CUDA_RECUR_TILE_CUH
#define HY_KERNELS_CUDA_RECUR_TILE_CUH

#include "kernels/cuda/prim_tile.cuh"

namespace HY_GPU {

template <class E> struct factor; /* a lane's part of a 16×16 factor */
template <> struct factor<uint16_t> { uint32_t x[4]; };
template <> struct factor<float> { float x[8]; };

enum { CHUNK = 32, CHUNK_TILES = CHUNK / 8 };

/* Elements between rows in the block's memory: rows lie on different banks. */
template <class E> HY_BOTH int pitch_of(int columns) {
    return columns + 16 / (int)sizeof(E);
}

HY_DEVICE float value_of(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}
HY_DEVICE float value_of(float x) {
    return x;
}
HY_DEVICE void set_value(uint16_t &to, float x) {
    to = bf16_bits(x);
}
HY_DEVICE void set_value(float &to, float x) {
    to = x;
}

HY_DEVICE void store_pair(uint16_t *to, float first, float second) {
    store4(to, bf16_pair(first, second));
}
HY_DEVICE void store_pair(float *to, float first, float second) {
    const uint32_t bits[2] = {bits_of_float(first), bits_of_float(second)};
    store8(to, bits);
}
/* The first `n` of two neighbours, in one transfer where they are aligned. */
template <class E> HY_DEVICE void set_pair(E *to, int64_t n, float first, float second) {
    if (n >= 2 && (uintptr_t)to % (2 * sizeof(E)) == 0) {
        store_pair(to, first, second);
        return;
    }
    if (n > 0)
        set_value(to[0], first);
    if (n > 1)
        set_value(to[1], second);
}

/* ---- bfloat16 ---- */

/* The left factor of accumulators. */
HY_DEVICE void factor_pack(factor<uint16_t> &a, const float c[2][4]) {
    HY_UNROLL
    for (int i = 0; i < 4; i++)
        a.x[i] = bf16_pair(c[i >> 1][2 * (i & 1)], c[i >> 1][2 * (i & 1) + 1]);
}
/* The left factor [M][K] at `at`. */
HY_DEVICE void factor_left(factor<uint16_t> &a, const uint16_t *at, int pitch) {
    const int L = lane_index();
    tile_load4(a.x, at + (L & 15) * pitch + 8 * (L >> 4));
}
/* The right factor [K][N] at `at`. */
HY_DEVICE void factor_right(factor<uint16_t> &b, const uint16_t *at, int pitch) {
    const int L = lane_index();
    tile_load4_turned(b.x, at + ((L & 7) + 8 * (L >> 3 & 1)) * pitch + 8 * (L >> 4));
}
/* The right factor whose transpose [N][K] is at `at`. */
HY_DEVICE void factor_right_turned(factor<uint16_t> &b, const uint16_t *at, int pitch) {
    const int L = lane_index();
    tile_load4(b.x, at + ((L & 7) + 8 * (L >> 4)) * pitch + 8 * (L >> 3 & 1));
}
/* Zeros in a left factor where not keep(row, column). */
template <class F> HY_DEVICE void factor_keep(factor<uint16_t> &a, F keep) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        if (!keep(g + 8 * (i >> 1 & 1), 8 * (i >> 2) + 2 * t + (i & 1)))
            a.x[i >> 1] &= (i & 1) != 0 ? 0x0000ffffu : 0xffff0000u;
}
HY_DEVICE void factor_product(float c[2][4], const factor<uint16_t> &a, const factor<uint16_t> &b) {
    mma_bf16(c[0], a.x, b.x);
    mma_bf16(c[1], a.x, b.x + 2);
}

/* ---- float ---- */

HY_DEVICE void factor_pack(factor<float> &a, const float c[2][4]) {
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        a.x[i] = c[i >> 2][i & 3];
}
HY_DEVICE void factor_left(factor<float> &a, const float *at, int pitch) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        a.x[i] = at[(g + 8 * (i >> 1 & 1)) * pitch + 8 * (i >> 2) + 2 * t + (i & 1)];
}
/* x[4n + 2h + e]: k = 8h + 2t + e, column 8n + g. */
HY_DEVICE void factor_right(factor<float> &b, const float *at, int pitch) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        b.x[i] = at[(8 * (i >> 1 & 1) + 2 * t + (i & 1)) * pitch + 8 * (i >> 2) + g];
}
HY_DEVICE void factor_right_turned(factor<float> &b, const float *at, int pitch) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        b.x[i] = at[(8 * (i >> 2) + g) * pitch + 8 * (i >> 1 & 1) + 2 * t + (i & 1)];
}
template <class F> HY_DEVICE void factor_keep(factor<float> &a, F keep) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
    HY_UNROLL
    for (int i = 0; i < 8; i++)
        a.x[i] = keep(g + 8 * (i >> 1 & 1), 8 * (i >> 2) + 2 * t + (i & 1)) ? a.x[i] : 0.0f;
}
HY_DEVICE uint32_t upper_half(float x) {
    return bits_of_float(x) & 0xffffe000u;
}
HY_DEVICE uint32_t lower_half(float x) {
    return bits_of_float(x - float_of_bits(upper_half(x)));
}
HY_DEVICE void factor_product(float c[2][4], const factor<float> &a, const factor<float> &b) {
    HY_UNROLL
    for (int h = 0; h < 2; h++) {
        uint32_t big[4], small[4];
        HY_UNROLL
        for (int i = 0; i < 4; i++) {
            const float x = a.x[4 * h + 2 * (i & 1) + (i >> 1)];
            big[i] = upper_half(x), small[i] = lower_half(x);
        }
        HY_UNROLL
        for (int n = 0; n < 2; n++) {
            const float *y = b.x + 4 * n + 2 * h;
            const uint32_t y_big[2] = {upper_half(y[0]), upper_half(y[1])};
            const uint32_t y_small[2] = {lower_half(y[0]), lower_half(y[1])};
            mma_tf32(c[n], small, y_big);
            mma_tf32(c[n], big, y_small);
            mma_tf32(c[n], big, y_big);
        }
    }
}

/* ---- tiles from and to global memory ---- */

/* `rows` of `columns` elements at `from`, `stride` apart, to CHUNK rows of `width` (a multiple of 16) in the block's memory, zeros beyond.
 * Thread `i` of `n`. There behind copy_wait and a barrier. */
template <class E>
HY_DEVICE void tile_fetch(E *to, int width, const void *from, int64_t stride, int rows, int64_t columns, int i, int n) {
    const E *source = static_cast<const E *>(from);
    const int per = 16 / (int)sizeof(E), pieces = width / per, pitch = pitch_of<E>(width);
    const bool aligned = ((uintptr_t)source | (uintptr_t)stride * sizeof(E)) % 16 == 0;
    HY_ROLLED
    for (; i < CHUNK * pieces; i += n) {
        const int row = i / pieces, at = i % pieces * per;
        const int64_t rest = row < rows ? columns - at : 0;
        const int valid = rest < 0 ? 0 : rest < per ? (int)rest : per;
        const E *x = valid > 0 ? source + row * stride + at : source;
        E *y = to + row * pitch + at;
        if (aligned) {
            copy_async(y, x, valid * (int)sizeof(E));
        } else {
            for (int e = 0; e < per; e++)
                y[e] = e < valid ? x[e] : E(0);
        }
    }
}

} // namespace HY_GPU

#endif
