/* Places buffers with known lifetimes in one arena so that two that live at the same time do not overlap: largest first, each
 * at the lowest offset that is free throughout its life. */
#ifndef HY_LAYERS_INTERVAL_PACK_H
#define HY_LAYERS_INTERVAL_PACK_H

#include <stdint.h>

#include "base/status.h"

typedef struct hy_interval {
    int64_t bytes;
    int first, last; /* times, inclusive */
    int64_t *offset; /* receives the place */
} hy_interval;

/* Sorts `intervals`; *total = arena size. Every offset is a multiple of HY_ALIGN. */
HY_MUST_CHECK hy_status hy_interval_pack(hy_interval *intervals, int n, int64_t *total);

#endif
