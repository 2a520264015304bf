/* CUDA graphs of pieces (kernels/pieces.h): launches are captured from the stream that operations are given to, and given again in one call. */
#ifndef HY_KERNELS_CUDA_GRAPHS_H
#define HY_KERNELS_CUDA_GRAPHS_H

#include <cuda_runtime_api.h>

#include "kernels/device_internal.h"

typedef struct hy_cuda_graphs {
    cudaGraphExec_t at[HY_PIECES_PLACES]; /* NULL: none */
    bool refused;                         /* a capture failed: no more are made */
} hy_cuda_graphs;

/* The graph of the piece's calls, as the table's entries launch them into `stream`, instead of what is at `place`; nothing runs. False: there
 * is none, and what was there stays. */
bool hy_cuda_graph_make(hy_cuda_graphs *graphs, int place, const hy_table *table, const hy_piece *piece,
                        cudaStream_t stream);
void hy_cuda_graphs_fini(hy_cuda_graphs *graphs);

#endif
