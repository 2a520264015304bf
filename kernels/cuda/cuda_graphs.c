/* What is captured has been launched before: kernels are loaded and may have the shared memory they ask for, algorithms of products are chosen, so a
 * capture meets nothing but launches. Their workspace and arguments are where they were; a graph owns nothing else. */
#include "kernels/cuda/cuda_graphs.h"

#include "base/log.h"
#include "kernels/cuda/cuda_call.h"

/* Plans of transforms and the memory they work in may make room for others. Known pairs of attention are cuDNN's where it has a plan, and nobody has
 * seen yet whether its launches can be captured. */
static bool is_library_s(const hy_piece_call *call) {
    return call->op == HY_OP_long_conv_fwd || call->op == HY_OP_long_conv_bwd ||
           (call->op == HY_OP_attn_fwd && ((const hy_attn_args *)call->args)->sight != HY_ATTN_SOME);
}

static bool may_capture(const hy_piece *piece) {
    hy_piece_call call;
    for (size_t at = 0; hy_piece_next(piece, &at, &call);) {
        if (is_library_s(&call)) {
            return false;
        }
    }
    return true;
}

static cudaError_t capture(const hy_table *table, const hy_piece *piece, cudaStream_t stream, cudaGraph_t *graph) {
    hy_piece_call call;
    const cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    if (error != cudaSuccess) {
        return error;
    }
    for (size_t at = 0; hy_piece_next(piece, &at, &call);) {
        hy_table_call(table, call.op, call.args);
    }
    return cudaStreamEndCapture(stream, graph);
}

bool hy_cuda_graph_make(hy_cuda_graphs *graphs, int place, const hy_table *table, const hy_piece *piece,
                        cudaStream_t stream) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    if (graphs->refused || !may_capture(piece)) {
        return false;
    }
    cudaError_t error = capture(table, piece, stream, &graph);
    if (error == cudaSuccess) {
        error = cudaGraphInstantiateWithFlags(&made, graph, 0);
    }
    if (graph != NULL) {
        HY_CUDA(cudaGraphDestroy(graph));
    }
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        graphs->refused = true;
        hy_warn("calls are given one by one from now on: no CUDA graph of them: %s", cudaGetErrorString(error));
        return false;
    }
    if (graphs->at[place] != NULL) {
        HY_CUDA(cudaGraphExecDestroy(graphs->at[place])); /* one that runs goes when it is done */
    }
    graphs->at[place] = made;
    return true;
}

void hy_cuda_graphs_fini(hy_cuda_graphs *graphs) {
    for (int i = 0; i < HY_PIECES_PLACES; i++) {
        if (graphs->at[i] != NULL) {
            HY_CUDA(cudaGraphExecDestroy(graphs->at[i]));
        }
    }
}
