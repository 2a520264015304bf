#include "kernels/cuda/cuda_lanes.h"

#include <cuda.h>
#include <string.h>

#include "kernels/cuda/cuda_call.h"

void hy_cuda_lanes_init(hy_cuda_lanes *lanes) {
    for (int l = 0; l < HY_LANES; l++) {
        HY_CUDA(cudaStreamCreateWithFlags(&lanes->lane[l].stream, cudaStreamNonBlocking));
        for (int i = 0; i < HY_CUDA_EVENTS; i++) {
            HY_CUDA(cudaEventCreateWithFlags(&lanes->lane[l].events[i], cudaEventDisableTiming));
        }
    }
}

void hy_cuda_lanes_fini(hy_cuda_lanes *lanes) {
    for (int l = 0; l < HY_LANES; l++) {
        for (int i = 0; i < HY_CUDA_EVENTS; i++) {
            HY_CUDA(cudaEventDestroy(lanes->lane[l].events[i]));
        }
        HY_CUDA(cudaStreamDestroy(lanes->lane[l].stream));
    }
}

cudaStream_t hy_cuda_lane_give(hy_cuda_lanes *lanes, hy_lane lane) {
    lanes->lane[lane].given = true;
    return lanes->lane[lane].stream;
}

static cudaEvent_t event_of(const hy_cuda_lanes *lanes, hy_mark mark) {
    return lanes->lane[mark.lane].events[mark.at % HY_CUDA_EVENTS];
}

hy_mark hy_cuda_lane_mark(hy_cuda_lanes *lanes, hy_lane lane) {
    if (lanes->lane[lane].given) {
        lanes->lane[lane].given = false;
        lanes->lane[lane].marks++;
        const hy_mark taken = {.lane = lane, .at = lanes->lane[lane].marks};
        HY_CUDA(cudaEventRecord(event_of(lanes, taken), lanes->lane[lane].stream));
    }
    return (hy_mark){.lane = lane, .at = lanes->lane[lane].marks};
}

void hy_cuda_lane_after(hy_cuda_lanes *lanes, hy_lane lane, hy_mark mark) {
    if (lane != mark.lane && mark.at > lanes->lane[mark.lane].reached) {
        HY_CUDA(cudaStreamWaitEvent(hy_cuda_lane_give(lanes, lane), event_of(lanes, mark), 0));
    }
}

bool hy_cuda_lane_reached(hy_cuda_lanes *lanes, hy_mark mark) {
    if (mark.at <= lanes->lane[mark.lane].reached) {
        return true;
    }
    const cudaError_t error = cudaEventQuery(event_of(lanes, mark));
    if (error == cudaErrorNotReady) {
        return false;
    }
    hy_cuda_check(error, "what was given before", __FILE__, __LINE__);
    lanes->lane[mark.lane].reached = mark.at;
    return true;
}

void hy_cuda_lane_wait(hy_cuda_lanes *lanes, hy_mark mark) {
    if (!hy_cuda_lane_reached(lanes, mark)) {
        HY_CUDA(cudaEventSynchronize(event_of(lanes, mark)));
        lanes->lane[mark.lane].reached = mark.at;
    }
}

/* ---- the driver's function, found at run time: the program starts without a driver ---- */

typedef CUresult (*wait_value_fn)(CUstream stream, CUdeviceptr word, cuuint64_t value, unsigned flags);

static wait_value_fn find_wait_value(void) {
    wait_value_fn found = NULL;
    void *address = NULL;
    enum cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
    HY_CUDA(cudaGetDriverEntryPointByVersion("cuStreamWaitValue64", &address, 12000, cudaEnableDefault, &result));
#else
    HY_CUDA(cudaGetDriverEntryPoint("cuStreamWaitValue64", &address, cudaEnableDefault, &result));
#endif
    if (result != cudaDriverEntryPointSuccess) {
        hy_cuda_check(cudaErrorNotSupported, "cuStreamWaitValue64", __FILE__, __LINE__);
    }
    memcpy((void *)&found, (const void *)&address, sizeof found);
    return found;
}

void hy_cuda_stream_wait_value(cudaStream_t stream, const uint64_t *word, uint64_t value) {
    static wait_value_fn wait_value;
    if (wait_value == NULL) {
        wait_value = find_wait_value();
    }
    const CUresult result = wait_value(stream, (CUdeviceptr)(uintptr_t)word, value, CU_STREAM_WAIT_VALUE_GEQ);
    hy_cuda_check(result == CUDA_SUCCESS ? cudaSuccess : cudaErrorNotSupported, "cuStreamWaitValue64", __FILE__,
                  __LINE__);
}
