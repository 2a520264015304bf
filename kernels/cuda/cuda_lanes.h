/* Lanes as streams, marks as events. */
#ifndef HY_KERNELS_CUDA_CUDA_LANES_H
#define HY_KERNELS_CUDA_CUDA_LANES_H

#include <cuda_runtime_api.h>

#include "kernels/device.h"

/* Marks of a lane that can be told apart: an older one counts as the one that took its place, which is later. */
enum { HY_CUDA_EVENTS = 1024 };

typedef struct hy_cuda_lanes {
    struct {
        cudaStream_t stream;
        cudaEvent_t events[HY_CUDA_EVENTS]; /* of mark n at n % HY_CUDA_EVENTS */
        uint64_t marks, reached;            /* taken so far; known to be passed */
        bool given;                         /* something since the last mark */
    } lane[HY_LANES];
} hy_cuda_lanes;

void hy_cuda_lanes_init(hy_cuda_lanes *lanes);
void hy_cuda_lanes_fini(hy_cuda_lanes *lanes);

/* The lane's stream, to be given something. */
cudaStream_t hy_cuda_lane_give(hy_cuda_lanes *lanes, hy_lane lane);
/* As in device.h. */
hy_mark hy_cuda_lane_mark(hy_cuda_lanes *lanes, hy_lane lane);
void hy_cuda_lane_after(hy_cuda_lanes *lanes, hy_lane lane, hy_mark mark);
bool hy_cuda_lane_reached(hy_cuda_lanes *lanes, hy_mark mark);
void hy_cuda_lane_wait(hy_cuda_lanes *lanes, hy_mark mark);

/* The stream goes on once *word, in pinned memory, is `value` or more. */
void hy_cuda_stream_wait_value(cudaStream_t stream, const uint64_t *word, uint64_t value);

#endif
