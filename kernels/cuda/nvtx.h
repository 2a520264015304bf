/* Spans as NVTX ranges (the CUDA toolkit's header alone, no library): Nsight Systems shows what the program calls its operations above the kernels.
 * Without a profiler each is a call that returns at once. */
#ifndef HY_KERNELS_CUDA_NVTX_H
#define HY_KERNELS_CUDA_NVTX_H

#include "base/span_marker.h"

/* NULL where the header was not there. */
const hy_span_marker *hy_nvtx_marker(void);

#endif
