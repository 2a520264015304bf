/* The device `cuda`: a GPU of this host. Lanes are streams, marks are events, signals are words of pinned memory that a stream waits for;
 * memory is cudaMalloc's, counted with the host's; what the host gives or takes goes through pinned staging. Ranks of a host take its GPUs
 * in turn. Needs a driver only when it is created. */
#ifndef HY_KERNELS_CUDA_DEVICE_CUDA_H
#define HY_KERNELS_CUDA_DEVICE_CUDA_H

#include <stddef.h>

/* GPUs of this host: 0 where there are none, and `why` says the reason. */
int hy_cuda_count(char *why, size_t size);
/* Name, compute capability, memory of GPU i. */
void hy_cuda_facts(int i, char *text, size_t size);

#endif
