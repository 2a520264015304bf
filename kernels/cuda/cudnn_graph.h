/* The graph of operations by which cuDNN is asked for attention of one pair, and the plan it makes of it.
 *
 *   scores = scale·q·kᵀ;   masked = row ≥ column ? scores : −∞ (causal);   stats = max + log Σ exp(masked − max), natural;
 *   o = (exp(masked − max) / Σ)·v
 *
 * cuDNN recognises this sequence, with the fused kernels of flash attention behind it (cuDNN's Graph API, "fused flash attention fprop");
 * one operation more, less or of another kind, and it has no engine. Tensors have dimensions (1, heads, rows, columns). */
#ifndef HY_KERNELS_CUDA_CUDNN_GRAPH_H
#define HY_KERNELS_CUDA_CUDNN_GRAPH_H

#include <stdint.h>

#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/cudnn_library.h"

/* Unique ids of the tensors that a call brings. */
enum hy_cudnn_uid {
    HY_CUDNN_Q = 1,
    HY_CUDNN_K,
    HY_CUDNN_V,
    HY_CUDNN_O,
    HY_CUDNN_STATS,
    HY_CUDNN_SCALE,
    HY_CUDNN_HIDDEN, /* −∞; a causal graph's */
    HY_CUDNN_INNER   /* from here on: those that only the graph has */
};

enum { HY_CUDNN_DESCRIPTORS = 96, HY_CUDNN_OPERATIONS = 16 };

/* Descriptors, and the first thing that failed. */
typedef struct hy_cudnn_graph {
    const hy_cudnn_library *lib;
    cudnnBackendDescriptor_t made[HY_CUDNN_DESCRIPTORS], operations[HY_CUDNN_OPERATIONS];
    int n_made, n_operations;
    int64_t uid; /* the next */
    bool failed;
    char why[320];
} hy_cudnn_graph;

/* For whom a plan is made: a handle of this machine's GPU, or properties of a GPU that need not be here. */
typedef struct hy_cudnn_target {
    cudnnHandle_t handle;                /* or NULL */
    cudnnBackendDescriptor_t properties; /* or NULL */
} hy_cudnn_target;

/* The operation graph of a shape, finalized. NULL: g->why. */
cudnnBackendDescriptor_t hy_cudnn_graph_begin(hy_cudnn_graph *g, const hy_cudnn_library *lib,
                                              const hy_cudnn_shape *shape, const hy_cudnn_target *target);

/* The engine configurations that cuDNN proposes for it, the best first, at most `most`; they are g's. */
int64_t hy_cudnn_graph_engines(hy_cudnn_graph *g, cudnnBackendDescriptor_t graph, const hy_cudnn_target *target,
                               int64_t most, cudnnBackendDescriptor_t *engines);

/* A plan of an engine's, and the bytes it works in. NULL: g->why. */
cudnnBackendDescriptor_t hy_cudnn_graph_plan(hy_cudnn_graph *g, cudnnBackendDescriptor_t engine,
                                             const hy_cudnn_target *target, int64_t *bytes);

/* It is no longer g's to end. */
void hy_cudnn_graph_keep(hy_cudnn_graph *g, cudnnBackendDescriptor_t one);
void hy_cudnn_graph_end(hy_cudnn_graph *g);

#endif
