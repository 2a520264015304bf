#include "layers/graph/interval_pack.h"

#include <stdlib.h>

#include "base/memory.h"

static int larger_first(const void *a, const void *b) {
    const hy_interval *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes > y->bytes ? -1 : 1;
    }
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : x->last - y->last;
}

/* Lowest offset at which [offset, offset + bytes) is free of the placed neighbours, which are sorted by offset. */
static int64_t lowest_gap(const hy_interval *intervals, const int *neighbours, int n, int64_t bytes) {
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        const hy_interval *other = &intervals[neighbours[i]];
        if (*other->offset >= at + bytes) {
            break;
        }
        int64_t end = *other->offset + other->bytes;
        at = end > at ? end : at;
    }
    return at;
}

hy_status hy_interval_pack(hy_interval *intervals, int n, int64_t *total) {
    int *by_offset = NULL, *neighbours = NULL; /* placed intervals in order of offset; those that overlap in time */
    *total = 0;
    if (n == 0) {
        return HY_OK; /* qsort takes no NULL */
    }
    HY_TRY(HY_NEW("packing order", n, &by_offset));
    hy_status status = HY_NEW("packing neighbours", n, &neighbours);
    if (status != HY_OK) {
        hy_free(by_offset);
        return status;
    }
    for (int i = 0; i < n; i++) {
        intervals[i].bytes = (intervals[i].bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
    }
    qsort(intervals, (size_t)n, sizeof(*intervals), larger_first);
    for (int i = 0; i < n; i++) {
        int n_neighbours = 0;
        for (int j = 0; j < i; j++) {
            const hy_interval *other = &intervals[by_offset[j]];
            if (other->first <= intervals[i].last && intervals[i].first <= other->last) {
                neighbours[n_neighbours++] = by_offset[j];
            }
        }
        *intervals[i].offset = lowest_gap(intervals, neighbours, n_neighbours, intervals[i].bytes);
        int64_t end = *intervals[i].offset + intervals[i].bytes;
        *total = end > *total ? end : *total;
        int at = i;
        while (at > 0 && *intervals[by_offset[at - 1]].offset > *intervals[i].offset) {
            by_offset[at] = by_offset[at - 1];
            at--;
        }
        by_offset[at] = i;
    }
    hy_free(by_offset);
    hy_free(neighbours);
    return HY_OK;
}
