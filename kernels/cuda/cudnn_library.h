/* What is used of cuDNN, loaded when it is first asked for. */
#ifndef HY_KERNELS_CUDA_CUDNN_LIBRARY_H
#define HY_KERNELS_CUDA_CUDNN_LIBRARY_H

#include <cudnn.h>
#include <stdbool.h>
#include <stddef.h>

#define HY_CUDNN_CALLS(X)                                                                                              \
    X(cudnnGetVersion)                                                                                                 \
    X(cudnnGetErrorString)                                                                                             \
    X(cudnnGetLastErrorString)                                                                                         \
    X(cudnnCreate)                                                                                                     \
    X(cudnnSetStream)                                                                                                  \
    X(cudnnBackendCreateDescriptor)                                                                                    \
    X(cudnnBackendDestroyDescriptor)                                                                                   \
    X(cudnnBackendSetAttribute)                                                                                        \
    X(cudnnBackendGetAttribute)                                                                                        \
    X(cudnnBackendFinalize)                                                                                            \
    X(cudnnBackendExecute)

typedef struct hy_cudnn_library {
#define X(call) __typeof__(&(call)) call;
    HY_CUDNN_CALLS(X)
#undef X
} hy_cudnn_library;

/* *out = the library at `name`. False, with the reason in words: it is not there, or older than 9.10, before which masks had another value. */
bool hy_cudnn_library_open(const char *name, hy_cudnn_library *out, char *why, size_t size);

/* Whether the call went well; if not, why, in the library's words. */
bool hy_cudnn_said(const hy_cudnn_library *lib, cudnnStatus_t status, const char *what, char *why, size_t size);

#endif
