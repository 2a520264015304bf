/* When lanes of a GPU got somewhere, in the host's time (base/clock.h): events with times, read once they are over, as a distance from a base event that
 * the host saw pass. The base is taken anew whenever nothing is pending, since distances are floats of milliseconds; its error is the time that the
 * host needs to see an event, some microseconds. */
#ifndef HY_KERNELS_CUDA_CUDA_STAMPS_H
#define HY_KERNELS_CUDA_CUDA_STAMPS_H

#include <cuda_runtime_api.h>

#include "kernels/device.h"

enum { HY_CUDA_STAMPS = 4096 }; /* pending at once; one more waits for one of them */

typedef struct hy_cuda_stamp {
    cudaEvent_t event;
    double *at;
} hy_cuda_stamp;

typedef struct hy_cuda_stamps {
    cudaEvent_t base; /* NULL: never needed yet */
    double base_time; /* seconds of base/clock.h */
    int pending, made;
    hy_cuda_stamp of[HY_CUDA_STAMPS]; /* pending ones first; the first `made` have an event */
} hy_cuda_stamps;

/* *at is written by a later call, once the stream has got here. `idle` is called while the host waits for the base. */
void hy_cuda_stamps_add(hy_cuda_stamps *stamps, cudaStream_t stream, hy_idle idle, double *at);
/* Writes the times of those that are over. Waits for nothing. */
void hy_cuda_stamps_write(hy_cuda_stamps *stamps);
void hy_cuda_stamps_fini(hy_cuda_stamps *stamps);

#endif
