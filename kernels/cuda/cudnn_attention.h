/* Attention of one pair by cuDNN, where it is found at run time and has an engine for the shape; without it nothing here is there.
 *
 * HYLAS_CUDNN: the library to load, or "off". Not set: libcudnn.so.9 for GPUs, none for the interpreter. */
#ifndef HY_KERNELS_CUDA_CUDNN_ATTENTION_H
#define HY_KERNELS_CUDA_CUDNN_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whose operations ask: the device cuda's, or cuda_host's. */
typedef enum hy_cudnn_side { HY_CUDNN_GPU, HY_CUDNN_HOST, HY_CUDNN_SIDES } hy_cudnn_side;

/* A pair of bf16: each query sees each key, or (causal, nq = nk) query i keys 0 .. i. */
typedef struct hy_cudnn_shape {
    int64_t H, HKV, D, DV, nq, nk, causal;
} hy_cudnn_shape;

typedef struct hy_cudnn_arrays {
    const void *q; /* [nq,H,D], bf16 as all but stats; aligned to 16 bytes as all */
    const void *k; /* [nk,HKV,D] */
    const void *v; /* [nk,HKV,DV] */
    void *o;       /* [nq,H,DV] normalised over the pair's keys */
    void *stats;   /* [H,nq] float: log Σ exp(scale·q·k), natural */
    void *work;    /* HY_CUDNN_WORK bytes */
    float scale;
} hy_cudnn_arrays;

enum { HY_CUDNN_WORK = 16 << 20 };

/* A shape's plan. */
typedef struct hy_cudnn_plan hy_cudnn_plan;

/* Whether it is asked for at all: what depends on nothing but the build and the environment. */
bool hy_cudnn_is_wanted(hy_cudnn_side side);

/* Queries × keys of a pair of bf16 from which it is worth a call of its own (hy_tuning, attn_known); 0: never. */
int64_t hy_cudnn_known_from(hy_cudnn_side side);

/* NULL where cuDNN has no plan for the shape, which is said once, or is not there. Plans are kept. */
hy_cudnn_plan *hy_cudnn_plan_of(hy_cudnn_side side, const hy_cudnn_shape *shape);
/* Whether its results have been compared with the definition, and are right (hy_cudnn_plan_trust). */
bool hy_cudnn_plan_is_trusted(const hy_cudnn_plan *plan);
void hy_cudnn_plan_trust(hy_cudnn_plan *plan);

/* Into the side's stream of operations. False, said once: nothing was computed, and nothing will be. */
bool hy_cudnn_plan_run(hy_cudnn_side side, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays);
/* Says why, and cuDNN is asked for nothing more. */
void hy_cudnn_refuse(hy_cudnn_side side, const char *why);

/* Bytes of the device, as soon as what was given is done. */
void hy_cudnn_read(hy_cudnn_side side, void *host, const void *from, size_t bytes);

#endif
