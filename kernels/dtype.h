#ifndef HY_KERNELS_DTYPE_H
#define HY_KERNELS_DTYPE_H

#include <stddef.h>

/* The element type of every activation, parameter, state and gradient of a run. */
typedef enum hy_dtype { HY_F32, HY_F64 } hy_dtype;

static inline size_t hy_dtype_size(hy_dtype dtype) {
    return dtype == HY_F64 ? 8 : 4;
}

#endif
