/* Cutting one buffer into aligned parts. With base NULL nothing is cut and only `used` grows, so the same code says how
 * large the buffer must be. */
#ifndef HY_SP_CARVE_H
#define HY_SP_CARVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct hy_carve {
    char *base;
    size_t used;
} hy_carve;

static inline size_t hy_aligned(size_t bytes) {
    return (bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
}

static inline void *hy_carve_take(hy_carve *carve, size_t bytes) {
    char *part = carve->base ? carve->base + carve->used : NULL;
    carve->used += hy_aligned(bytes);
    return part;
}

#endif
