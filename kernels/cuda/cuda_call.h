/* Calls of CUDA's runtime: what fails says where and what, and ends the process, since nothing inside a step can be undone. */
#ifndef HY_KERNELS_CUDA_CUDA_CALL_H
#define HY_KERNELS_CUDA_CUDA_CALL_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#define HY_CUDA(call) hy_cuda_check((call), #call, __FILE__, __LINE__)
void hy_cuda_check(cudaError_t error, const char *call, const char *file, int line);

/* Of the device whose operation is being launched: device_cuda.c. */
cudaStream_t hy_cuda_stream(void);
/* What kernels of one operation leave to each other: at most HY_CUDA_WORKSPACE bytes. */
enum { HY_CUDA_WORKSPACE = 64 << 20 };
void *hy_cuda_workspace(size_t bytes);
/* prim_launch.cuh's. */
void hy_cuda_launch(const char *name, const void *kernel, const int64_t grid[3], int threads, size_t shared_bytes,
                    void *args);

#endif
