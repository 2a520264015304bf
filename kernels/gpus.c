#include "kernels/gpus.h"

#include <stdio.h>

#include "kernels/cuda/cuda_facts.h"
#include "kernels/cuda/nvtx.h"

int hy_gpu_count(char *why, size_t size) {
#ifdef HY_HAVE_CUDA
    return hy_cuda_count(why, size);
#else
    snprintf(why, size, "this program was built where there is no nvcc");
    return 0;
#endif
}

void hy_gpu_facts(int i, char *text, size_t size) {
#ifdef HY_HAVE_CUDA
    hy_cuda_facts(i, text, size);
#else
    snprintf(text, size, "GPU %d", i);
#endif
}

const hy_span_marker *hy_gpu_marker(void) {
#ifdef HY_HAVE_CUDA
    return hy_nvtx_marker();
#else
    return NULL;
#endif
}

const char *hy_auto_device(hy_dtype dtype, char *why, size_t size) {
    char reason[256];
    const int count = hy_gpu_count(reason, sizeof reason);
    if (count == 0) {
        snprintf(why, size, "no GPU here: %s", reason);
    } else if (dtype == HY_F64) {
        snprintf(why, size, "GPUs compute in f32 or bf16, not in f64");
    } else {
        hy_gpu_facts(0, reason, sizeof reason);
        snprintf(why, size, "%d here, the first: %s", count, reason);
    }
    return count > 0 && dtype != HY_F64 ? "cuda" : "cpu";
}
