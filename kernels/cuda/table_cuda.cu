/* The table of the operations that are written: all else stays as it is. */
#include "kernels/cuda/overlay.cuh"
extern "C" {
#include "kernels/cuda/table_cuda.h"
}

namespace HY_GPU {

static void overlay_all(hy_table *table) {
    overlay_activation(table);
    overlay_bonus(table);
    overlay_conv(table);
    overlay_elementwise(table);
    overlay_embed(table);
    overlay_feature(table);
    overlay_gate(table);
    overlay_lerp(table);
    overlay_loss(table);
    overlay_memory(table);
    overlay_norm(table);
    overlay_optimizer(table);
    overlay_rope(table);
    overlay_row_scale(table);
}

} // namespace HY_GPU

#ifdef __CUDACC__
void hy_cuda_table(hy_table *table) {
    hy_cuda::overlay_all(table);
}
#else
void hy_cuda_host_table(hy_table *table) {
    hy_cuda_host::overlay_all(table);
}
#endif
