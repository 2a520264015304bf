/* The table of the operations that are written: all else stays as it is. */
#include "kernels/cuda/overlay.cuh"
extern "C" {
#include "kernels/cuda/table_cuda.h"
}

namespace HY_GPU {

static void overlay_all(hy_table *table) {
    overlay_elementwise(table);
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
