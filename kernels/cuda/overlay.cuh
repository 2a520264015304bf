/* What each file puts into the table of its own operations: the entries of the table's precision. */
#ifndef HY_KERNELS_CUDA_OVERLAY_CUH
#define HY_KERNELS_CUDA_OVERLAY_CUH

#include "kernels/cuda/array.cuh"

/* HY_OVERLAY(overlay, table): overlay<precision>(table). */
#define HY_OVERLAY(overlay, table)                                                                                     \
    do {                                                                                                               \
        if ((table)->dtype == HY_BF16)                                                                                 \
            overlay<HY_BF16>(table);                                                                                   \
        else                                                                                                           \
            overlay<HY_F32>(table);                                                                                    \
    } while (0)

namespace HY_GPU {

void overlay_elementwise(hy_table *table);

} // namespace HY_GPU

#endif
