/* What this machine reaches: the rates that bench and doctor relate their times to. */
#ifndef HY_LAUNCH_MACHINE_RATES_H
#define HY_LAUNCH_MACHINE_RATES_H

#include "comm/comm.h"
#include "kernels/device.h"

enum { HY_GEMM_RATE_N = 2048 };

/* Operations per second of products in `dtype` (HY_F32, HY_BF16) of 2048³ (2n³ each) by the table cpu: the best of 5 (fewer after two
 * seconds), on all ranks of `comm` at once, summed over them. Collective. */
HY_MUST_CHECK hy_status hy_gemm_rate(hy_comm *comm, hy_dtype dtype, double *flops_per_second);

/* Bytes per second of copying 128 MiB with every thread, read and written bytes both counted; the best of 5. Local. */
HY_MUST_CHECK hy_status hy_copy_rate(double *bytes_per_second);

#endif
