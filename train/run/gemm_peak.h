#ifndef HY_TRAIN_GEMM_PEAK_H
#define HY_TRAIN_GEMM_PEAK_H

#include "comm/comm.h"
#include "kernels/device.h"

/* The largest product measured, and what its matrices take while it is. */
enum { HY_GEMM_PEAK_N = 768, HY_GEMM_PEAK_BYTES = 3 * HY_GEMM_PEAK_N * HY_GEMM_PEAK_N * (int)sizeof(float) };

/* Floating-point operations per second of fp32 matrix products on all ranks of `world` together, measured on all at
 * once for about a third of a second: what model-FLOP utilisation is relative to. Collective. */
HY_MUST_CHECK hy_status hy_gemm_peak_measure(hy_comm *world, hy_device *device, double *flops_per_second);

#endif
