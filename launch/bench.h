/* What the benchmarks share: the rate they are relative to, and how work is counted. */
#ifndef HY_LAUNCH_BENCH_H
#define HY_LAUNCH_BENCH_H

#include "comm/comm.h"
#include "kernels/kernels.h"
#include "train/config.h"

/* Best rate (FLOP/s) of fp32 products of n³ on this rank in `repeats` tries. */
HY_MUST_CHECK hy_status hy_bench_gemm_rate(hy_device *device, int64_t n, int repeats, double *flops_per_second);

/* Useful FLOPs per token and value head of a recurrence's forward: its chunk form at C = 64 with triangles counted half, whatever the
 * kernel does. Forward and backward together count three times that. */
double hy_bench_recur_flops(hy_rule rule, int64_t K, int64_t V);

HY_MUST_CHECK hy_status hy_bench_kernels(int argc, char **argv, hy_comm *world);
HY_MUST_CHECK hy_status hy_bench_step(int argc, char **argv, hy_comm *world);

#endif
