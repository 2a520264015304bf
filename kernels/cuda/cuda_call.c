#include "kernels/cuda/cuda_call.h"

#include <stdlib.h>

#include "base/status.h"

void hy_cuda_check(cudaError_t error, const char *call, const char *file, int line) {
    if (error == cudaSuccess) {
        return;
    }
    const hy_status said = hy_fail(HY_ERR_ENV, "CUDA: %s: %s (%s, %s:%d)", cudaGetErrorString(error),
                                   cudaGetErrorName(error), call, file, line);
    (void)said;
    abort();
}

static void refuse(const char *name, const char *what, long long asked, long long possible) {
    const hy_status said =
        hy_fail(HY_ERR_ENV, "CUDA: kernel %s needs %lld %s; this GPU has %lld", name, asked, what, possible);
    (void)said;
    abort();
}

/* Beyond 48 KiB a kernel has to ask first. */
static void allow_shared(const char *name, const void *kernel, size_t bytes) {
    int device, most;
    HY_CUDA(cudaGetDevice(&device));
    HY_CUDA(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    if (bytes > (size_t)most) {
        refuse(name, "bytes of shared memory for a block", (long long)bytes, most);
    }
    HY_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
}

void hy_cuda_launch(const char *name, const void *kernel, const int64_t grid[3], int threads, size_t shared_bytes,
                    void *args) {
    void *all[] = {args};
    if (grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535) {
        refuse(name, "blocks along one side of its grid",
               grid[0] > INT32_MAX ? grid[0]
               : grid[1] > 65535   ? grid[1]
                                   : grid[2],
               grid[0] > INT32_MAX ? INT32_MAX : 65535);
    }
    if (shared_bytes > 48 << 10) {
        allow_shared(name, kernel, shared_bytes);
    }
    const struct dim3 blocks = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
    const struct dim3 block = {(unsigned)threads, 1, 1};
    const cudaError_t error = cudaLaunchKernel(kernel, blocks, block, all, shared_bytes, hy_cuda_stream());
    hy_cuda_check(error, name, __FILE__, __LINE__);
}
