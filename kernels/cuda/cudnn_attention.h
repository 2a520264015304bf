/* Attention of one pair by cuDNN, where it is found at run time and has an engine for the shape; without it nothing here is there.
 *
 * HYLAS_CUDNN: the library to load; "on": libcudnn.so.9 for GPUs, none for the interpreter. Not set, or "off": none. */
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

/* Queries × keys of a pair of bf16 from which a plan is worth asking for (hy_tuning, attn_known); 0: never, since it is not asked for or the
 * library is not there, which is said once. Asks no GPU. */
int64_t hy_cudnn_known_from(hy_cudnn_side side);

/* Makes a plan, on trial, unless there was one. False: there is none, or it was refused; said once. May load kernels and so wait for the GPU. */
bool hy_cudnn_plan_make(hy_cudnn_side side, const hy_cudnn_shape *shape);
/* How its trial ended. */
void hy_cudnn_plan_judge(hy_cudnn_side side, const hy_cudnn_shape *shape, bool accepted);
bool hy_cudnn_plan_is_accepted(hy_cudnn_side side, const hy_cudnn_shape *shape);
/* One that was accepted or is on trial; NULL: none. Makes none. */
hy_cudnn_plan *hy_cudnn_plan_find(hy_cudnn_side side, const hy_cudnn_shape *shape);

/* Into the stream of the device whose operation is being launched. False, said once: nothing was computed, and no plan will be used again. */
bool hy_cudnn_plan_run(hy_cudnn_side side, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays);
/* Calls of this process that went well, on both sides, trials not counted. */
int64_t hy_cudnn_runs(void);

#endif
