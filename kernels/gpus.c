#include "kernels/gpus.h"

#include <stdio.h>

#include "kernels/cuda/cuda_facts.h"

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
