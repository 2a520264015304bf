#include "kernels/cuda/cuda_stamps.h"

#include "base/clock.h"
#include "kernels/cuda/cuda_call.h"

static bool is_over(cudaEvent_t event) {
    const cudaError_t error = cudaEventQuery(event);
    if (error != cudaErrorNotReady) {
        hy_cuda_check(error, "what was given before", __FILE__, __LINE__);
    }
    return error != cudaErrorNotReady;
}

static void go_idle(hy_idle idle) {
    if (idle.call != NULL) {
        idle.call(idle.context);
    }
}

/* Looked at without a pause: who sleeps until the event sees it late. */
static void take_base(hy_cuda_stamps *stamps, cudaStream_t stream, hy_idle idle) {
    if (stamps->base == NULL) {
        HY_CUDA(cudaEventCreateWithFlags(&stamps->base, cudaEventDefault));
    }
    HY_CUDA(cudaEventRecord(stamps->base, stream));
    while (!is_over(stamps->base)) {
        go_idle(idle);
    }
    stamps->base_time = hy_now();
}

void hy_cuda_stamps_add(hy_cuda_stamps *stamps, cudaStream_t stream, hy_idle idle, double *at) {
    while (stamps->pending == HY_CUDA_STAMPS) {
        go_idle(idle);
        hy_cuda_stamps_write(stamps);
    }
    if (stamps->pending == 0) {
        take_base(stamps, stream, idle);
    }
    hy_cuda_stamp *stamp = &stamps->of[stamps->pending++];
    if (stamps->made < stamps->pending) {
        HY_CUDA(cudaEventCreateWithFlags(&stamp->event, cudaEventDefault));
        stamps->made++;
    }
    stamp->at = at;
    HY_CUDA(cudaEventRecord(stamp->event, stream));
}

void hy_cuda_stamps_write(hy_cuda_stamps *stamps) {
    int pending = 0;
    for (int i = 0; i < stamps->pending; i++) {
        const hy_cuda_stamp stamp = stamps->of[i];
        float milliseconds;
        if (is_over(stamp.event)) {
            HY_CUDA(cudaEventElapsedTime(&milliseconds, stamps->base, stamp.event));
            *stamp.at = stamps->base_time + 1e-3 * (double)milliseconds;
        } else {
            stamps->of[i] = stamps->of[pending];
            stamps->of[pending++] = stamp;
        }
    }
    stamps->pending = pending;
}

void hy_cuda_stamps_fini(hy_cuda_stamps *stamps) {
    for (int i = 0; i < stamps->made; i++) {
        HY_CUDA(cudaEventDestroy(stamps->of[i].event));
    }
    if (stamps->base != NULL) {
        HY_CUDA(cudaEventDestroy(stamps->base));
    }
}
