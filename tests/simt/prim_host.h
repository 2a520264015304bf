/* kernels/cuda/prim.cuh on the host. */
#ifndef HY_TESTS_SIMT_PRIM_HOST_H
#define HY_TESTS_SIMT_PRIM_HOST_H

#include "base/half.h"
#include "tests/simt/cut.h"
#include "tests/simt/simt.h"

#define HY_GPU    hy_cuda_host
#define HY_DEVICE static inline
#define HY_BOTH   static inline
#define HY_MEMBER inline
#define HY_UNROLL
#define HY_UNROLL_STEPS
#define HY_ROLLED
#define HY_KERNEL(threads, name)                static void name
#define HY_KERNEL_BLOCKS(threads, blocks, name) static void name

namespace HY_GPU {

enum : uint32_t { ALL_LANES = 0xffffffffu };

HY_DEVICE int thread_index() {
    return hy_simt_now.thread;
}
HY_DEVICE int block_threads() {
    return hy_simt_now.threads;
}
HY_DEVICE int lane_index() {
    return hy_simt_now.thread & 31;
}
HY_DEVICE int warp_index() {
    return hy_simt_now.thread >> 5;
}
HY_DEVICE int64_t block_x() {
    return hy_simt_now.block.x;
}
HY_DEVICE int64_t block_y() {
    return hy_simt_now.block.y;
}
HY_DEVICE int64_t block_z() {
    return hy_simt_now.block.z;
}
HY_DEVICE int64_t grid_x() {
    return hy_simt_now.grid.x;
}
HY_DEVICE int64_t grid_y() {
    return hy_simt_now.grid.y;
}
HY_DEVICE int64_t grid_z() {
    return hy_simt_now.grid.z;
}

/* file, line: of the call, which cut.h may leave out. */
HY_DEVICE void barrier(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (!hy_simt_is_cut("barrier", file, line))
        hy_simt_barrier();
}
HY_DEVICE void warp_barrier(uint32_t mask = ALL_LANES, const char *file = __builtin_FILE(),
                            int line = __builtin_LINE()) {
    if (!hy_simt_is_cut("warp_barrier", file, line))
        hy_simt_meet(mask, "warp_barrier", nullptr, nullptr);
}

HY_DEVICE int unknown(int x) {
    return x;
}

/* ---- shuffles ---- */

template <class T> struct shuffle_call {
    T value;
    int from;
    T got;
};

template <class T> static void shuffle_all(void *const *own, uint32_t mask) {
    for (int i = 0; i < HY_SIMT_WARP; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        shuffle_call<T> *call = static_cast<shuffle_call<T> *>(own[i]);
        if ((mask >> call->from & 1) == 0)
            hy_simt_fail("lane %d shuffles from lane %d, which does not take part", i, call->from);
        call->got = static_cast<const shuffle_call<T> *>(own[call->from])->value;
    }
}

template <class T> HY_DEVICE T shuffle(T value, int from, uint32_t mask = ALL_LANES) {
    shuffle_call<T> call = {value, from & 31, value};
    hy_simt_meet(mask, "shuffle", &call, shuffle_all<T>);
    return call.got;
}
template <class T> HY_DEVICE T shuffle_xor(T value, int bits, uint32_t mask = ALL_LANES) {
    return shuffle(value, lane_index() ^ bits, mask);
}
template <class T> HY_DEVICE T shuffle_up(T value, int below, uint32_t mask = ALL_LANES) {
    return shuffle(value, lane_index() >= below ? lane_index() - below : lane_index(), mask);
}
template <class T> HY_DEVICE T shuffle_down(T value, int above, uint32_t mask = ALL_LANES) {
    return shuffle(value, lane_index() + above < HY_SIMT_WARP ? lane_index() + above : lane_index(), mask);
}

/* ---- votes ---- */

struct ballot_call {
    bool said;
    uint32_t got;
};

static inline void ballot_all(void *const *own, uint32_t mask) {
    uint32_t got = 0;
    for (int i = 0; i < HY_SIMT_WARP; i++)
        if ((mask >> i & 1) != 0)
            got |= static_cast<uint32_t>(static_cast<const ballot_call *>(own[i])->said) << i;
    for (int i = 0; i < HY_SIMT_WARP; i++)
        if ((mask >> i & 1) != 0)
            static_cast<ballot_call *>(own[i])->got = got;
}

HY_DEVICE uint32_t ballot(bool said, uint32_t mask = ALL_LANES) {
    ballot_call call = {said, 0};
    hy_simt_meet(mask, "ballot", &call, ballot_all);
    return call.got;
}
HY_DEVICE bool warp_any(bool said, uint32_t mask = ALL_LANES) {
    return ballot(said, mask) != 0;
}
HY_DEVICE bool warp_all(bool said, uint32_t mask = ALL_LANES) {
    return ballot(said, mask) == mask;
}

/* ---- reductions: the butterfly of prim.cuh, in one meeting ---- */

template <class T> static T sum_of(T a, T b) {
    return a + b;
}
template <class T> static T max_of(T a, T b) {
    return b > a ? b : a;
}

template <class T, T (*join)(T, T)> static void reduce_all(void *const *own, uint32_t) {
    T x[HY_SIMT_WARP], y[HY_SIMT_WARP];
    for (int i = 0; i < HY_SIMT_WARP; i++)
        x[i] = *static_cast<const T *>(own[i]);
    for (int bits = 16; bits > 0; bits >>= 1) {
        for (int i = 0; i < HY_SIMT_WARP; i++)
            y[i] = join(x[i], x[i ^ bits]);
        memcpy(x, y, sizeof x);
    }
    for (int i = 0; i < HY_SIMT_WARP; i++)
        *static_cast<T *>(own[i]) = x[i];
}

template <class T> HY_DEVICE T warp_sum(T x) {
    hy_simt_meet(ALL_LANES, "warp_sum", &x, reduce_all<T, sum_of<T>>);
    return x;
}
template <class T> HY_DEVICE T warp_max(T x) {
    hy_simt_meet(ALL_LANES, "warp_max", &x, reduce_all<T, max_of<T>>);
    return x;
}

/* ---- memory ---- */

template <class T> HY_DEVICE T *shared_at(size_t byte) {
    if (byte > hy_simt_now.shared_bytes)
        hy_simt_fail("asks for byte %zu of its %zu bytes of shared memory", byte, hy_simt_now.shared_bytes);
    return reinterpret_cast<T *>(hy_simt_now.shared + byte);
}

HY_DEVICE void load16(const void *from, uint32_t out[4]) {
    hy_simt_check_aligned("load16", from, 16);
    memcpy(out, from, 16);
}
HY_DEVICE void store16(void *to, const uint32_t in[4]) {
    hy_simt_check_aligned("store16", to, 16);
    memcpy(to, in, 16);
}
HY_DEVICE void load8(const void *from, uint32_t out[2]) {
    hy_simt_check_aligned("load8", from, 8);
    memcpy(out, from, 8);
}
HY_DEVICE void store8(void *to, const uint32_t in[2]) {
    hy_simt_check_aligned("store8", to, 8);
    memcpy(to, in, 8);
}
HY_DEVICE void store4(void *to, uint32_t in) {
    hy_simt_check_aligned("store4", to, 4);
    memcpy(to, &in, 4);
}

/* ---- numbers ---- */

HY_DEVICE float float_of_bits(uint32_t bits) {
    return hy_float_from_bits(bits);
}
HY_DEVICE uint32_t bits_of_float(float x) {
    return hy_float_bits(x);
}
HY_DEVICE int first_bit(uint32_t bits) {
    return __builtin_ctz(bits);
}
HY_DEVICE uint16_t bf16_bits(float x) {
    return hy_float_to_bf16(x);
}
HY_DEVICE uint32_t bf16_pair(float low, float high) {
    return hy_float_to_bf16(low) | static_cast<uint32_t>(hy_float_to_bf16(high)) << 16;
}
HY_DEVICE float exp2_fast(float x) {
    return exp2f(x);
}
HY_DEVICE void turn(float half_turns, float *sine, float *cosine) {
    *sine = static_cast<float>(sin(M_PI * half_turns));
    *cosine = static_cast<float>(cos(M_PI * half_turns));
}

} // namespace HY_GPU

#endif
