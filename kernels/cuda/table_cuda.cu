/* The table of the operations that are written: all else stays as it is. */
#include "kernels/cuda/overlay.cuh"
extern "C" {
#include "kernels/cuda/table_cuda.h"
}

/* One file each. */
#define HY_FAMILIES(X)                                                                                                 \
    X(activation)                                                                                                      \
    X(attention)                                                                                                       \
    X(bonus)                                                                                                           \
    X(conv)                                                                                                            \
    X(elementwise)                                                                                                     \
    X(embed)                                                                                                           \
    X(feature)                                                                                                         \
    X(filter)                                                                                                          \
    X(gate)                                                                                                            \
    X(gemm)                                                                                                            \
    X(heads)                                                                                                           \
    X(lerp)                                                                                                            \
    X(levels)                                                                                                          \
    X(long_conv)                                                                                                       \
    X(loss)                                                                                                            \
    X(map)                                                                                                             \
    X(memory)                                                                                                          \
    X(norm)                                                                                                            \
    X(optimizer)                                                                                                       \
    X(recur)                                                                                                           \
    X(row_scale)

namespace HY_GPU {

#define HY_X(family) void overlay_##family(hy_table *table);
HY_FAMILIES(HY_X)
#undef HY_X

static void overlay_all(hy_table *table) {
#define HY_X(family) overlay_##family(table);
    HY_FAMILIES(HY_X)
#undef HY_X
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
