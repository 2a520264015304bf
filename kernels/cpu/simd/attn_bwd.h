/* What attn_bwd.c and its two ways to compute a tile share. */
#ifndef HY_KERNELS_CPU_SIMD_ATTN_BWD_H
#define HY_KERNELS_CPU_SIMD_ATTN_BWD_H

#include "kernels/cpu/simd/attn.h"
#include "kernels/cpu/simd/vec_math.h"

/* A tile of queries of one head; what is beyond `count` sees no key. */
typedef struct query_rows {
    int64_t count;
    float lse[HY_ATTN_ROWS], delta[HY_ATTN_ROWS]; /* lse in powers of 2 */
    int32_t first[HY_ATTN_ROWS], end[HY_ATTN_ROWS];
} query_rows;

/* Rows from .. to − 1: from the first to the last that sees one of `count` keys from `key` on. Whether there are any. */
HY_INLINE int query_rows_seeing(const query_rows *r, int64_t key, int64_t count, int64_t *from, int64_t *to) {
    *from = 0;
    *to = r->count;
    while (*from < *to && r->end[*from] <= key)
        ++*from;
    while (*to > *from && r->first[*to - 1] >= key + count)
        --*to;
    return *from < *to;
}

/* Where each thread is: units in its order, then tiles of queries. One cache line per thread. */
typedef struct progress {
    _Alignas(64) int64_t done;
} progress;

#endif
