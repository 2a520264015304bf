/* Memory asked for early, a few lines at a time. The recurrences compute on 16 tokens for microseconds, then touch rows
 * that lie far apart: the hardware does not see them coming, and asking for all of them at once stalls as long as
 * waiting would. So rows are queued, and every block of a matrix product takes some from the queue. What is left when
 * the next chunk begins is dropped. Nothing here changes a result. */
#ifndef HY_KERNELS_CPU_SIMD_AHEAD_H
#define HY_KERNELS_CPU_SIMD_AHEAD_H

#include "kernels/cpu/simd/vec.h"

#define HY_AHEAD_QUEUE 12
#define HY_AHEAD_LINES 16 /* cache lines per block, at least one row: a block takes 250 cycles or more */

typedef struct hy_ahead_rows {
    const char *p;
    int64_t stride, rows, bytes;
} hy_ahead_rows;

typedef struct hy_ahead {
    int now, end;
    hy_ahead_rows queue[HY_AHEAD_QUEUE];
} hy_ahead;

static _Thread_local hy_ahead hy_ahead_pending;

HY_INLINE void hy_ahead_reset(void) {
    hy_ahead_pending.now = hy_ahead_pending.end = 0;
}

/* Rows of `cols` elements of `size` bytes, `stride` elements apart. */
HY_INLINE void hy_ahead_push(const void *p, int64_t size, int64_t stride, int64_t rows, int64_t cols) {
    hy_ahead *a = &hy_ahead_pending;
    if (rows > 0 && cols > 0 && a->end < HY_AHEAD_QUEUE)
        a->queue[a->end++] = (hy_ahead_rows){p, stride * size, rows, cols * size};
}

HY_INLINE void hy_ahead_step(void) {
    hy_ahead *a = &hy_ahead_pending;
    for (int64_t lines = 0; lines < HY_AHEAD_LINES && a->now < a->end;) {
        hy_ahead_rows *r = &a->queue[a->now];
        for (int64_t j = 0; j < r->bytes; j += 64, lines++)
            __builtin_prefetch(r->p + j, 0, 2);
        r->p += r->stride;
        if (--r->rows == 0)
            a->now++;
    }
}

#endif
