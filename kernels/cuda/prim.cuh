/* What the hardware offers, by functions: with prim_tile.cuh and prim_launch.cuh the only place of PTX and CUDA's built-ins. Everything
 * else in this folder is C++17 that compiles for the host too, where tests/simt interprets the same functions lane by lane. Names live in
 * one namespace per compilation, so one program holds both.
 *
 * Blocks are one-dimensional, grids up to three. A warp operation names the lanes that take part (all by default); each of them must come.
 * Reductions add in the order of a butterfly, the same in every lane and every run. */
#ifndef HY_KERNELS_CUDA_PRIM_CUH
#define HY_KERNELS_CUDA_PRIM_CUH

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef __CUDACC__
#include "tests/simt/prim_host.h"
#else

#define HY_GPU                                  hy_cuda /* the namespace */
#define HY_DEVICE                               static __device__ __forceinline__
#define HY_BOTH                                 static __host__ __device__ __forceinline__ /* for launchers too */
#define HY_MEMBER                               __device__ __forceinline__ /* of a struct that kernels are given */
#define HY_UNROLL                               _Pragma("unroll")
#define HY_UNROLL_STEPS                         _Pragma("unroll STEPS") /* a constant of that name */
#define HY_ROLLED                               _Pragma("unroll 1")
/* HY_KERNEL(threads of a block, at most, name)(const args a) { ... } */
#define HY_KERNEL(threads, name)                static __global__ void __launch_bounds__(threads) name
/* The same, with registers for so many blocks of a multiprocessor: as many as shared memory lets it have. */
#define HY_KERNEL_BLOCKS(threads, blocks, name) static __global__ void __launch_bounds__(threads, blocks) name

namespace HY_GPU {

enum : uint32_t { ALL_LANES = 0xffffffffu };

/* ---- where a thread is ---- */
HY_DEVICE int thread_index() {
    return (int)threadIdx.x;
}
HY_DEVICE int block_threads() {
    return (int)blockDim.x;
}
HY_DEVICE int lane_index() {
    return (int)(threadIdx.x & 31u);
}
HY_DEVICE int warp_index() {
    return (int)(threadIdx.x >> 5);
}
HY_DEVICE int64_t block_x() {
    return blockIdx.x;
}
HY_DEVICE int64_t block_y() {
    return blockIdx.y;
}
HY_DEVICE int64_t block_z() {
    return blockIdx.z;
}
HY_DEVICE int64_t grid_x() {
    return gridDim.x;
}
HY_DEVICE int64_t grid_y() {
    return gridDim.y;
}
HY_DEVICE int64_t grid_z() {
    return gridDim.z;
}

/* ---- waiting for others ---- */
HY_DEVICE void barrier() {
    __syncthreads();
}
/* Orders what the lanes wrote to memory, too. */
HY_DEVICE void warp_barrier(uint32_t mask = ALL_LANES) {
    __syncwarp(mask);
}

/* x, of which the compiler knows nothing: what a loop computes from it is computed in each pass, where registers would not hold it. */
HY_DEVICE int unknown(int x) {
    asm volatile("" : "+r"(x));
    return x;
}

/* ---- values of other lanes: of a lane, of one that differs by bits, of one below (above), where there is none its own ---- */
template <class T> HY_DEVICE T shuffle(T value, int from, uint32_t mask = ALL_LANES) {
    return __shfl_sync(mask, value, from);
}
template <class T> HY_DEVICE T shuffle_xor(T value, int bits, uint32_t mask = ALL_LANES) {
    return __shfl_xor_sync(mask, value, bits);
}
template <class T> HY_DEVICE T shuffle_up(T value, int below, uint32_t mask = ALL_LANES) {
    return __shfl_up_sync(mask, value, (unsigned)below);
}
template <class T> HY_DEVICE T shuffle_down(T value, int above, uint32_t mask = ALL_LANES) {
    return __shfl_down_sync(mask, value, (unsigned)above);
}
/* Bit i: lane i said so. */
HY_DEVICE uint32_t ballot(bool said, uint32_t mask = ALL_LANES) {
    return __ballot_sync(mask, said);
}
HY_DEVICE bool warp_any(bool said, uint32_t mask = ALL_LANES) {
    return __any_sync(mask, said) != 0;
}
HY_DEVICE bool warp_all(bool said, uint32_t mask = ALL_LANES) {
    return __all_sync(mask, said) != 0;
}

/* ---- over all lanes of a warp: float, double, int ---- */
template <class T> HY_DEVICE T warp_sum(T x) {
    HY_UNROLL
    for (int bits = 16; bits > 0; bits >>= 1)
        x += shuffle_xor(x, bits);
    return x;
}
template <class T> HY_DEVICE T warp_max(T x) {
    HY_UNROLL
    for (int bits = 16; bits > 0; bits >>= 1) {
        const T other = shuffle_xor(x, bits);
        x = other > x ? other : x;
    }
    return x;
}

/* ---- memory of the block: what the launch asked for, aligned to 16 bytes ---- */
template <class T> HY_DEVICE T *shared_at(size_t byte) {
    extern __shared__ __align__(128) unsigned char hy_shared_memory[];
    return reinterpret_cast<T *>(hy_shared_memory + byte);
}

/* ---- 16, 8 and 4 bytes at once; addresses aligned to as much ---- */
HY_DEVICE void load16(const void *from, uint32_t out[4]) {
    const uint4 v = *static_cast<const uint4 *>(from);
    out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
HY_DEVICE void store16(void *to, const uint32_t in[4]) {
    *static_cast<uint4 *>(to) = make_uint4(in[0], in[1], in[2], in[3]);
}
HY_DEVICE void load8(const void *from, uint32_t out[2]) {
    const uint2 v = *static_cast<const uint2 *>(from);
    out[0] = v.x, out[1] = v.y;
}
HY_DEVICE void store8(void *to, const uint32_t in[2]) {
    *static_cast<uint2 *>(to) = make_uint2(in[0], in[1]);
}
HY_DEVICE void store4(void *to, uint32_t in) {
    *static_cast<uint32_t *>(to) = in;
}

/* ---- numbers ---- */
HY_DEVICE float float_of_bits(uint32_t bits) {
    return __uint_as_float(bits);
}
HY_DEVICE uint32_t bits_of_float(float x) {
    return __float_as_uint(x);
}
/* The lowest bit that is set; there is one. */
HY_DEVICE int first_bit(uint32_t bits) {
    return __ffs((int)bits) - 1;
}
/* Two bfloat16, rounded to nearest even; `low` in the lower half. */
HY_DEVICE uint32_t bf16_pair(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
HY_DEVICE uint16_t bf16_bits(float x) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
/* Sine and cosine of half_turns·π, |half_turns| ≤ 1: no path for large angles, which would need memory. */
HY_DEVICE void turn(float half_turns, float *sine, float *cosine) {
    sincospif(half_turns, sine, cosine);
}
/* 2^x and e^x by the hardware's approximation: 2^x to 2 ulp, e^x to |x|·6e-8 of it more. */
HY_DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

} // namespace HY_GPU

#endif

namespace HY_GPU {

HY_DEVICE float bf16_low(uint32_t pair) {
    return float_of_bits(pair << 16);
}
HY_DEVICE float bf16_high(uint32_t pair) {
    return float_of_bits(pair & 0xffff0000u);
}
HY_DEVICE float exp_fast(float x) {
    return exp2_fast(x * 1.44269504f);
}

} // namespace HY_GPU

#endif
