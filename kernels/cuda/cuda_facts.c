#include "kernels/cuda/cuda_facts.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cuda_call.h"

/* Before any other call: a kernel that is loaded at its first launch may wait for the whole context, and with it for exchanges that only the
 * host moves on. */
static void load_kernels_at_once(void) {
    (void)setenv("CUDA_MODULE_LOADING", "EAGER", 0);
}

int hy_cuda_count(char *why, size_t size) {
    int count = 0;
    load_kernels_at_once();
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
