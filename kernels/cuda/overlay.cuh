/* How a file puts its operations into the table: it ends with overlay_<family>(table), which table_cuda.cu calls. */
#ifndef HY_KERNELS_CUDA_OVERLAY_CUH
#define HY_KERNELS_CUDA_OVERLAY_CUH

#include "kernels/cuda/array.cuh"

/* HY_OVERLAY(entries, table): entries<precision>(table). */
#define HY_OVERLAY(entries, table)                                                                                     \
    do {                                                                                                               \
        if ((table)->dtype == HY_BF16)                                                                                 \
            entries<HY_BF16>(table);                                                                                   \
        else                                                                                                           \
            entries<HY_F32>(table);                                                                                    \
    } while (0)

#endif
