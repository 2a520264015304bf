/* The GPUs of this host, for who asks before there is a device. */
#ifndef HY_KERNELS_GPUS_H
#define HY_KERNELS_GPUS_H

#include <stddef.h>

#include "base/span_marker.h"
#include "kernels/dtype.h"

/* How many; where there are none, `why` says the reason. */
int hy_gpu_count(char *why, size_t size);
/* Name, compute capability, memory of GPU i. */
void hy_gpu_facts(int i, char *text, size_t size);
/* Shows spans to a GPU's profiler; NULL: there is none to show them to. */
const hy_span_marker *hy_gpu_marker(void);
/* The device that "auto" stands for on this host: "cuda" where there is a GPU and it computes in that type, else "cpu". why: the reason. */
const char *hy_auto_device(hy_dtype dtype, char *why, size_t size);

#endif
