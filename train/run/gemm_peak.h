/* What the machine reaches: the rate of fp32 matrix products that model-FLOP utilisation (MFU) is relative to.
 *
 * All ranks compute at the same time, because they share caches, memory and the clock of their processor. A rank counts
 * the processor time of its thread, not the clock on the wall, so that work of others does not make the peak of this
 * machine smaller; from the two together follows how much others had of it. */
#ifndef HY_TRAIN_GEMM_PEAK_H
#define HY_TRAIN_GEMM_PEAK_H

#include <sched.h>

#include "comm/comm.h"
#include "kernels/kernels.h"

/* The largest product measured, and what its matrices take while it is. */
enum { HY_GEMM_PEAK_N = 768, HY_GEMM_PEAK_BYTES = 3 * HY_GEMM_PEAK_N * HY_GEMM_PEAK_N * (int)sizeof(float) };

/* A product that was timed. */
typedef struct hy_gemm_burst {
    double flops, wall, cpu; /* seconds on the wall, of processor time of the calling thread */
} hy_gemm_burst;

/* What one rank found. */
typedef struct hy_rank_peak {
    char host[64], processor[112];
    cpu_set_t cores;         /* those that its threads may run on */
    int threads;             /* of one product */
    double flops_per_second; /* the best burst, per second that its thread ran */
    double share;            /* of the time in which its thread ran, all bursts */
} hy_rank_peak;

/* A host with all its ranks. The names and the three counts are its key: another count is another peak. */
typedef struct hy_host_peak {
    char host[64], processor[112];
    int ranks, threads, cores; /* threads of all ranks; cores that any of them may run on */
    double flops_per_second;   /* of all its ranks together, were they alone on these cores */
    double undisturbed;        /* share of the processor time they could have had that they got; 1: alone */
} hy_host_peak;

/* Best rate and share of `n` > 0 bursts of one rank. Local. */
void hy_rank_peak_count(const hy_gemm_burst *bursts, int n, hy_rank_peak *rank);
/* One entry per host, in order of first rank; hosts [n]. Returns their number. Local. */
int hy_host_peaks(const hy_rank_peak *ranks, int n, hy_host_peak *hosts);

/* Measures for about a third of a second. Rank 0 gets the hosts (freed with hy_free), others NULL and 0. Collective. */
HY_MUST_CHECK hy_status hy_gemm_peak_measure(hy_comm *world, hy_device *device, hy_host_peak **hosts, int *n_hosts);

#endif
