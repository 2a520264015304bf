/* What this machine reaches: the rates that bench and doctor relate their times to. */
#ifndef HY_LAUNCH_MACHINE_RATES_H
#define HY_LAUNCH_MACHINE_RATES_H

#include "comm/comm.h"
#include "kernels/device.h"

enum { HY_GEMM_RATE_N = 2048 };

/* Operations per second of products in `dtype` (HY_F32, HY_BF16) of 2048³ (2n³ each) by the device called `device`: the best of 5 (fewer after
 * two seconds), on all ranks of `comm` at once, summed over them. Collective. */
HY_MUST_CHECK hy_status hy_gemm_rate(hy_comm *comm, const char *device, hy_dtype dtype, double *flops_per_second);

/* Seconds of a call that gives the device work, from when it is idle until it is again. Of a device whose calls return early, where
 * they are brief: of several in a row, divided by their number, so that giving one does not count where the one before it takes longer. */
typedef void (*hy_timed_fn)(void *context);
double hy_seconds_of_call(hy_device *device, hy_timed_fn call, void *context);

/* Bytes per second of copying 128 MiB with every thread, read and written bytes both counted; the best of 5. Local. */
HY_MUST_CHECK hy_status hy_copy_rate(double *bytes_per_second);

#endif
