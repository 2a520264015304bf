/* The GPUs of this host. */
#ifndef HY_KERNELS_CUDA_CUDA_FACTS_H
#define HY_KERNELS_CUDA_CUDA_FACTS_H

#include <stddef.h>

/* How many: 0 where there are none, and `why` says the reason. */
int hy_cuda_count(char *why, size_t size);
/* Name, compute capability, memory of GPU i. */
void hy_cuda_facts(int i, char *text, size_t size);

#endif
