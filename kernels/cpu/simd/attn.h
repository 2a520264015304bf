/* What the softmax attention of one instruction set shares between its files. The work is cut into tiles of
 * HY_ATTN_LANES × HY_ATTN_ROWS score matrix entries: one side is spread over vector lanes and stays in cache (its
 * operands are packed, transposed and scaled once), the other side streams past in rows and is only ever broadcast, so
 * it needs no padding. forward:  lanes = queries, rows = keys       backward: lanes = keys, rows = queries Positions
 * inside are relative to the block: key j, and query i sees keys first(i) ≤ j < end(i), which never decrease. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_H
#define HY_KERNELS_CPU_SIMD_ATTN_H

#include <stddef.h>

#include "kernels/cpu/attn_block.h"
#include "kernels/cpu/simd/isa.h"
#include "kernels/cpu/simd/tile_product.h"
#if HY_ISA_amx
#include "kernels/cpu/simd/amx.h"
#endif

#define HY_ATTN_LANES 64
#define HY_ATTN_ROWS  96

#define HY_LOG2E 1.44269504088896340736

/* One pair. */
void HY_ISA_NAME(hy_attn_fwd)(const hy_attn_block *a);
void HY_ISA_NAME(hy_attn_bwd)(const hy_attn_block *a);

/* Floats of scratch per thread. */
size_t HY_ISA_NAME(hy_attn_fwd_floats)(int64_t D, int64_t DV);
size_t HY_ISA_NAME(hy_attn_bwd_floats)(int64_t D, int64_t DV);

/* Around what a thread computes. */
HY_INLINE void hy_attn_thread_begin(void) {
#if HY_ISA_amx
    hy_tiles_begin();
#endif
}

HY_INLINE void hy_attn_thread_end(void) {
#if HY_ISA_amx
    hy_tiles_end();
#endif
}

HY_INLINE int64_t hy_attn_clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

HY_INLINE int64_t hy_attn_first(const hy_attn_block *a, int64_t i) {
    return hy_attn_clamp(a->lo[i] - a->k_begin, 0, a->nk);
}

HY_INLINE int64_t hy_attn_end(const hy_attn_block *a, int64_t i) {
    return hy_attn_clamp(a->q_begin + i + 1 - a->k_begin, 0, a->nk);
}

/* Leading dimension of a tile of n columns whose columns are walked: an odd number of cache lines, so that the walk
 * uses every set of the cache. */
HY_INLINE int64_t hy_attn_ld(int64_t n) {
    return (((n + 15) / 16) | 1) * 16;
}

HY_INLINE float *hy_attn_take(float **work, int64_t floats) {
    float *p = *work;
    *work += (floats + 15) / 16 * 16;
    return p;
}

#if HY_ISA_amx
HY_INLINE hy_half_mat hy_attn_take_half(float **work, int64_t rows, int64_t ld) {
    return (hy_half_mat){(uint16_t *)(void *)hy_attn_take(work, rows * ld / 2), ld};
}
#endif

/* The part of args->work that belongs to thread `thread`, from a cache line's beginning. */
HY_INLINE float *hy_attn_work_of(const hy_attn_block *a, size_t floats, int thread) {
    uintptr_t begin = ((uintptr_t)a->work + 63) / 64 * 64;
    return (float *)begin + floats * (size_t)thread;
}

/* dst[j,c] = src[j,c]: n rows. */
HY_INLINE void hy_attn_copy_rows(float *dst, int64_t dst_ld, const hy_elem *src, int64_t src_ld, int64_t n,
                                 int64_t cols) {
    for (int64_t j = 0; j < n; j++)
        for (int64_t c = 0; c < cols; c += HY_VL)
            hy_vec_store_tail(dst + j * dst_ld + c, hy_vec_load_tail(src + j * src_ld + c, cols - c), cols - c);
}

/* Rows of src become lanes: panel p of dst holds scale·src[p·HY_PANEL + i, c] at [c, i]; lanes from n on are 0. */
HY_INLINE void hy_attn_pack_lanes(float *dst, const hy_elem *src, int64_t src_ld, int64_t n, int64_t cols,
                                  float scale) {
    for (int64_t p = 0; p < HY_ATTN_LANES; p += HY_PANEL) {
        for (int64_t c = 0; c < cols; c++) {
            for (int64_t i = 0; i < HY_PANEL; i++)
                *dst++ = p + i < n ? scale * hy_elem_get(src + (p + i) * src_ld + c) : 0.0f;
        }
    }
}

#endif
