/* Matrix products of table cpu, by libraries. float32 and float64 are BLAS's. bf16 is oneDNN's (AMX, AVX512-BF16) where the program was
 * built with it and the processor multiplies bf16; elsewhere blocks are widened for BLAS (simd/fast_gemm.c).
 * oneDNN also takes over float32 from an OpenBLAS that does not know the processor and would run without AVX. */
#ifndef HY_KERNELS_CPU_GEMM_H
#define HY_KERNELS_CPU_GEMM_H

#include <stdbool.h>

#include "kernels/kernels.h"

/* Sizes and leading dimensions fit a library's int, and none is 0. */
bool hy_product_fits_int(const hy_gemm_args *a);

void hy_blas_gemm_f32(const hy_gemm_args *a);
void hy_blas_gemm_f64(const hy_gemm_args *a);

typedef void (*hy_gemm_fn)(const hy_gemm_args *a);

/* The product of oneDNN for `dtype`, or NULL where it is not built in or not the fastest here. `isa`: the chosen variants (isa_choice.h):
 * with avx512 oneDNN keeps off AMX; narrower sets do not use it for bf16. */
hy_gemm_fn hy_onednn_gemm(hy_dtype dtype, const char *isa);

/* "2.6.3", or "" without it. */
const char *hy_onednn_version(void);

/* What multiplies bf16 where `isa` are the chosen variants: "oneDNN 2.6.3 with AMX". */
void hy_cpu_bf16_products(const char *isa, char *text, size_t size);

#endif
