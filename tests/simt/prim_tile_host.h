/* kernels/cuda/prim_tile.cuh on the host: every fragment is put together from the lanes' registers and taken apart again. */
#ifndef HY_TESTS_SIMT_PRIM_TILE_HOST_H
#define HY_TESTS_SIMT_PRIM_TILE_HOST_H

#include "tests/simt/prim_host.h"

namespace HY_GPU {

/* ---- products ---- */

struct mma_call {
    float *c;
    const uint32_t *a, *b;
};

template <int K> static void mma_tile(const float (*a)[K], const float (*b)[8], float (*c)[8]) {
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < K; k++)
            for (int j = 0; j < 8; j++)
                c[i][j] += a[i][k] * b[k][j];
}

/* C of all lanes += what `multiply` adds to it. */
template <class F> static void mma_into(void *const *own, F multiply) {
    float c[16][8];
    for (int L = 0; L < HY_SIMT_WARP; L++)
        for (int i = 0; i < 4; i++)
            c[(L >> 2) + 8 * (i >> 1)][2 * (L & 3) + (i & 1)] = static_cast<const mma_call *>(own[L])->c[i];
    multiply(c);
    for (int L = 0; L < HY_SIMT_WARP; L++)
        for (int i = 0; i < 4; i++)
            static_cast<const mma_call *>(own[L])->c[i] = c[(L >> 2) + 8 * (i >> 1)][2 * (L & 3) + (i & 1)];
}

/* Element i of registers that hold two each. */
HY_DEVICE float bf16_element(const uint32_t *registers, int i) {
    return hy_bf16_to_float(static_cast<uint16_t>(registers[i >> 1] >> 16 * (i & 1)));
}

static inline void mma_bf16_all(void *const *own, uint32_t) {
    float a[16][16], b[16][8];
    for (int L = 0; L < HY_SIMT_WARP; L++) {
        const mma_call *call = static_cast<const mma_call *>(own[L]);
        const int g = L >> 2, t = L & 3;
        for (int i = 0; i < 8; i++)
            a[g + 8 * (i >> 1 & 1)][2 * t + (i & 1) + 8 * (i >> 2)] = bf16_element(call->a, i);
        for (int i = 0; i < 4; i++)
            b[2 * t + (i & 1) + 8 * (i >> 1)][g] = bf16_element(call->b, i);
    }
    mma_into(own, [&](float(*c)[8]) { mma_tile<16>(a, b, c); });
}

HY_DEVICE float tf32_value(uint32_t bits) {
    return hy_float_from_bits(bits & ~0x1fffu);
}

static inline void mma_tf32_all(void *const *own, uint32_t) {
    float a[16][8], b[8][8];
    for (int L = 0; L < HY_SIMT_WARP; L++) {
        const mma_call *call = static_cast<const mma_call *>(own[L]);
        const int g = L >> 2, t = L & 3;
        for (int i = 0; i < 4; i++)
            a[g + 8 * (i & 1)][t + 4 * (i >> 1)] = tf32_value(call->a[i]);
        for (int i = 0; i < 2; i++)
            b[t + 4 * i][g] = tf32_value(call->b[i]);
    }
    mma_into(own, [&](float(*c)[8]) { mma_tile<8>(a, b, c); });
}

HY_DEVICE void mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    mma_call call = {c, a, b};
    hy_simt_meet(ALL_LANES, "mma_bf16", &call, mma_bf16_all);
}
HY_DEVICE void mma_tf32(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    mma_call call = {c, a, b};
    hy_simt_meet(ALL_LANES, "mma_tf32", &call, mma_tf32_all);
}

/* ---- matrices of 8×8 ---- */

struct tile_call {
    const void *row;
    uint32_t *out;
};

template <bool turned> static void tile_load4_all(void *const *own, uint32_t) {
    uint16_t x[4][8][8];
    for (int L = 0; L < HY_SIMT_WARP; L++)
        memcpy(x[L >> 3][L & 7], static_cast<const tile_call *>(own[L])->row, 16);
    for (int L = 0; L < HY_SIMT_WARP; L++) {
        const int g = L >> 2, t = L & 3;
        for (int m = 0; m < 4; m++)
            static_cast<const tile_call *>(own[L])->out[m] =
                turned ? x[m][2 * t][g] | static_cast<uint32_t>(x[m][2 * t + 1][g]) << 16
                       : x[m][g][2 * t] | static_cast<uint32_t>(x[m][g][2 * t + 1]) << 16;
    }
}

HY_DEVICE void tile_load4(uint32_t out[4], const void *row) {
    tile_call call = {row, out};
    hy_simt_check_shared("tile_load4", row, 16, 16);
    hy_simt_meet(ALL_LANES, "tile_load4", &call, tile_load4_all<false>);
}
HY_DEVICE void tile_load4_turned(uint32_t out[4], const void *row) {
    tile_call call = {row, out};
    hy_simt_check_shared("tile_load4_turned", row, 16, 16);
    hy_simt_meet(ALL_LANES, "tile_load4_turned", &call, tile_load4_all<true>);
}

static inline void tile_turn_all(void *const *own, uint32_t) {
    uint32_t in[HY_SIMT_WARP];
    for (int L = 0; L < HY_SIMT_WARP; L++)
        in[L] = *static_cast<const uint32_t *>(own[L]);
    for (int L = 0; L < HY_SIMT_WARP; L++) {
        uint32_t pair = 0;
        for (int i = 0; i < 2; i++) { /* of row 2t + i, column g */
            const int row = 2 * (L & 3) + i, column = L >> 2;
            pair |= (in[4 * row + column / 2] >> 16 * (column & 1) & 0xffffu) << 16 * i;
        }
        *static_cast<uint32_t *>(own[L]) = pair;
    }
}

HY_DEVICE uint32_t tile_turn(uint32_t x) {
    hy_simt_meet(ALL_LANES, "tile_turn", &x, tile_turn_all);
    return x;
}

/* ---- copies ---- */

HY_DEVICE void copy_async(void *to, const void *from, int bytes = 16) {
    hy_simt_copy_async(to, from, bytes);
}
HY_DEVICE void copy_commit(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (!hy_simt_is_cut("copy_commit", file, line))
        hy_simt_copy_commit();
}
template <int BUT> HY_DEVICE void copy_wait(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (!hy_simt_is_cut("copy_wait", file, line))
        hy_simt_copy_wait(BUT);
}

} // namespace HY_GPU

#endif
