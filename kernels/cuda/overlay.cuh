/* What each file puts into the table of its own operations: the entries of the table's precision. */
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

namespace HY_GPU {

void overlay_activation(hy_table *table);
void overlay_bonus(hy_table *table);
void overlay_conv(hy_table *table);
void overlay_elementwise(hy_table *table);
void overlay_embed(hy_table *table);
void overlay_feature(hy_table *table);
void overlay_gate(hy_table *table);
void overlay_lerp(hy_table *table);
void overlay_loss(hy_table *table);
void overlay_memory(hy_table *table);
void overlay_norm(hy_table *table);
void overlay_optimizer(hy_table *table);
void overlay_rope(hy_table *table);
void overlay_row_scale(hy_table *table);

} // namespace HY_GPU

#endif
