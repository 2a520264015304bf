/* How kernels are launched. On a GPU it is the device that knows the stream (device_cuda.c), on the host the interpreter runs the kernel now.
 *
 *   HY_KERNEL(256, add_kernel)(const hy_add_args a) { ... }
 *   HY_LAUNCH(add_kernel, blocks, 256, 0, args);            blocks of 256 threads with 0 bytes of memory of their own
 *
 * A kernel has one argument, passed by value. Grids without blocks launch nothing. */
#ifndef HY_KERNELS_CUDA_PRIM_LAUNCH_CUH
#define HY_KERNELS_CUDA_PRIM_LAUNCH_CUH

#include "kernels/cuda/prim.cuh"

#ifdef __CUDACC__
extern "C" {
/* device_cuda.c: in the stream of operations. Errors end the process. */
void hy_cuda_launch(const char *name, const void *kernel, const int64_t grid[3], int threads, size_t shared_bytes,
                    void *args);
void *hy_cuda_workspace(size_t bytes);
}
#endif

namespace HY_GPU {

struct grid {
    int64_t x, y, z;
    grid(int64_t x_blocks, int64_t y_blocks = 1, int64_t z_blocks = 1) : x(x_blocks), y(y_blocks), z(z_blocks) {}
};

enum : int64_t { WORKSPACE_BYTES = 64 << 20, GRID_YZ_MAX = 65535 };

/* Memory for what one kernel of an operation leaves to the next: the same at every call, WORKSPACE_BYTES at most. What lies in the first
 * `keep` bytes stays. */
static inline void *workspace(size_t bytes, size_t keep = 0) {
#ifdef __CUDACC__
    (void)keep;
    return hy_cuda_workspace(bytes);
#else
    return hy_simt_workspace(bytes, keep);
#endif
}

template <class A>
static inline void launch(const char *name, void (*kernel)(A), grid blocks, int threads, size_t shared_bytes,
                          const A &args) {
    if (blocks.x <= 0 || blocks.y <= 0 || blocks.z <= 0)
        return;
#ifdef __CUDACC__
    const int64_t size[3] = {blocks.x, blocks.y, blocks.z};
    A copy = args;
    hy_cuda_launch(name, reinterpret_cast<const void *>(kernel), size, threads, shared_bytes, &copy);
#else
    struct job {
        void (*kernel)(A);
        const A *args;
    };
    const job all = {kernel, &args};
    const hy_simt_kernel run = {name,
                                [](const void *each) {
                                    const job *j = static_cast<const job *>(each);
                                    j->kernel(*j->args);
                                },
                                &all,
                                reinterpret_cast<void (*)()>(kernel),
                                {blocks.x, blocks.y, blocks.z},
                                threads,
                                shared_bytes};
    hy_simt_launch(&run);
#endif
}

#define HY_LAUNCH(kernel, blocks, threads, shared_bytes, args)                                                         \
    launch(#kernel, kernel, blocks, threads, shared_bytes, args)

} // namespace HY_GPU

#endif
