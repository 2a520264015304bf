/* What the machine reaches: the rate of matrix products, of activations of the run's precision, that model-FLOP utilisation (MFU) is relative to.
 *
 * All threads of all ranks compute at the same time, because they share caches, memory and the clock of their
 * processor, each a product of its own. A thread counts its processor time, not the clock on the wall, so that work of
 * others (or of the ranks themselves, where they are more than the cores) does not make the peak of this machine
 * smaller; from the two together follows how much others had of it. */
#ifndef HY_TRAIN_GEMM_PEAK_H
#define HY_TRAIN_GEMM_PEAK_H

#include "base/cores.h"
#include "comm/comm.h"
#include "kernels/device.h"

/* Bytes of the matrices while it is measured. Local. */
int64_t hy_gemm_peak_bytes(void);

/* The bursts of threads, summed up: the best rate of each, and all their time. */
typedef struct hy_burst_sum {
    double flops_per_second;
    double wall, cpu; /* seconds on the wall, of processor time */
} hy_burst_sum;

/* One thread's next product, by its clocks. Local. */
void hy_burst_add(hy_burst_sum *thread, double flops, double wall, double cpu);

/* What one rank found. */
typedef struct hy_rank_peak {
    char host[64], processor[112];
    hy_cores cores; /* those that its threads may run on */
    int threads;
    double flops_per_second; /* of its threads together: the best burst of each, per second that it ran */
    double share;            /* of the time in which its threads ran */
} hy_rank_peak;

/* A host with all its ranks. The names and the three counts are its key: another count is another peak. */
typedef struct hy_host_peak {
    char host[64], processor[112];
    int ranks, threads, cores; /* threads of all ranks; cores that any of them may run on */
    double flops_per_second;   /* of all its ranks together, were they alone on these cores */
    double undisturbed;        /* share of the processor time they could have had that they got; 1: alone */
} hy_host_peak;

/* One entry per host, in order of first rank; hosts [n]. Returns their number. Local. */
int hy_host_peaks(const hy_rank_peak *ranks, int n, hy_host_peak *hosts);

/* Measures for about a third of a second, or HYLAS_PEAK_SECONDS of the environment. Rank 0 gets the hosts (freed with hy_free), others NULL and 0. Nothing counts as the device's operations. Collective. */
HY_MUST_CHECK hy_status hy_gemm_peak_measure(hy_comm *world, const char *device, hy_dtype precision,
                                             hy_host_peak **hosts, int *n_hosts);

#endif
