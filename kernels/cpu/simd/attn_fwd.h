/* What attn_fwd.c and its two ways to compute a tile share. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_FWD_H
#define HY_KERNELS_CPU_SIMD_ATTN_FWD_H

#include "kernels/cpu/simd/attn.h"
#include "kernels/cpu/simd/vec_math.h"

#define LOW   -1e30f
#define FLOOR -1e29f

/* Tiles that share each packed piece of keys and values. */
#define TILES 4

typedef struct query_tile {
    int64_t head, query, count; /* queries query .. query + count − 1 */
    int64_t begin, end;         /* keys that some query sees */
    int64_t all_begin, all_end; /* keys that every query sees */
    float *q, *o;               /* packed, see queries_read; [DV,64] */
    float max[HY_ATTN_LANES], sum[HY_ATTN_LANES], alpha[HY_ATTN_LANES];
    int32_t first[HY_ATTN_LANES], last[HY_ATTN_LANES]; /* lane i sees first ≤ key < last */
} query_tile;

#endif
