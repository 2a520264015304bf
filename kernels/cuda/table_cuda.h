/* Operations of this folder put over those of a table, by its dtype, float32 or bf16: for GPUs, and for the host, where the interpreter of
 * tests/simt runs them. What is not written stays as it is. */
#ifndef HY_KERNELS_CUDA_TABLE_CUDA_H
#define HY_KERNELS_CUDA_TABLE_CUDA_H

#include "kernels/kernels.h"

void hy_cuda_table(hy_table *table);
void hy_cuda_host_table(hy_table *table);

/* *table = cuda_host for `dtype`. HY_ERR_USAGE for f64. */
HY_MUST_CHECK hy_status hy_table_init_cuda_host(hy_table *table, hy_dtype dtype);

#endif
