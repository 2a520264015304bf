/* Products by cuBLASLt, found at the first of them; float32 is float32 (no TF32). What it has no form for, mixtures of types and
 * products without terms, `other` computes, and everything where the library is not here. */
#ifndef HY_KERNELS_CUDA_GEMM_CUBLAS_H
#define HY_KERNELS_CUDA_GEMM_CUBLAS_H

#include "kernels/kernels.h"

typedef void hy_gemm_entry(const hy_gemm_args *a);

/* The entry of a table of `dtype`. */
hy_gemm_entry *hy_cublas_gemm(hy_dtype dtype, hy_gemm_entry *other);

#endif
