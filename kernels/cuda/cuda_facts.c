#include "kernels/cuda/cuda_facts.h"

#include <stdio.h>

#include "kernels/cuda/cuda_call.h"

int hy_cuda_count(char *why, size_t size) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        snprintf(why, size, "%s", cudaGetErrorString(error));
        return 0;
    }
    snprintf(why, size, "%s", count > 0 ? "" : "the driver knows of none");
    return count;
}

void hy_cuda_facts(int i, char *text, size_t size) {
    struct cudaDeviceProp p;
    HY_CUDA(cudaGetDeviceProperties(&p, i));
    snprintf(text, size, "%s, compute capability %d.%d, %d multiprocessors, %.1f GiB", p.name, p.major, p.minor,
             p.multiProcessorCount, (double)p.totalGlobalMem / (1 << 30));
}
