/* `hylas op`: core operations on tensors from a file, sharded over the ranks of the program.
 *
 * Rank 0 reads the file and broadcasts it whole; each rank cuts its own tokens out, and rank 0 collects and writes the results. So
 * these commands are for checks, not for size: every rank holds the input once. */
#ifndef HY_LAUNCH_OP_H
#define HY_LAUNCH_OP_H

#include "comm/comm.h"
#include "layers/model.h"
#include "sp/sp.h"
#include "train/data/tensor_file.h"

typedef struct hy_op_options {
    hy_sp_method method;
    hy_recompute recompute; /* op model */
    hy_dtype dtype;         /* the precision: inputs are rounded to the types that it gives their roles */
    const char *model;      /* op model: folder with config.json and model.safetensors */
} hy_op_options;

typedef struct hy_op_context {
    hy_comm *world; /* moves the host's memory, ... */
    hy_comm *data;  /* ... and this what the device holds */
    hy_op_options options;
    hy_device *device;
} hy_op_context;

/* Bytes of `elements` elements of a role. */
static inline size_t hy_op_bytes(const hy_op_context *context, hy_role role, int64_t elements) {
    return (size_t)elements * hy_role_size(context->options.dtype, role);
}

/* ---- input ---- */

enum { HY_OP_TENSORS_MAX = 12, HY_OP_STATES_MAX = 1 << 28 }; /* elements of all documents' states */

typedef struct hy_op_wanted {
    const char *name;
    bool required;
    hy_role role;        /* of numbers */
    hy_element integers; /* HY_ELEMENT_I32, HY_ELEMENT_I64; else they are numbers */
} hy_op_wanted;

typedef struct hy_op_tensor {
    char name[32];
    hy_role role;
    size_t size; /* bytes of an element */
    hy_shape shape;
    void *data;
} hy_op_tensor;

typedef struct hy_op_input {
    const char *path;
    int n;
    hy_op_tensor tensors[HY_OP_TENSORS_MAX];
    bool has_rule, has_scale, has_window;
    char rule[32];
    double scale, window;
} hy_op_input;

/* Collective. On failure nothing is left to free. */
HY_MUST_CHECK hy_status hy_op_input_read(const hy_op_context *context, const char *path, const hy_op_wanted *wanted,
                                         int n_wanted, hy_op_input *in);
void hy_op_input_free(hy_op_input *in);
/* Rank 0's bytes to all; waits. Collective. */
void hy_op_broadcast(hy_comm *world, const char *name, void *data, size_t bytes);
/* NULL if the file does not have it. */
const hy_op_tensor *hy_op_input_find(const hy_op_input *in, const char *name);
/* HY_ERR_DATA unless the tensor (NULL = absent, which is fine) has this shape. Same verdict on every rank, logged by rank 0. */
HY_MUST_CHECK hy_status hy_op_check_shape(const hy_op_context *context, const hy_op_input *in,
                                          const hy_op_tensor *tensor, hy_shape want);
/* Logs on rank 0 only: for verdicts that all ranks reach alike. */
HY_MUST_CHECK HY_PRINTF(3, 4) hy_status
    hy_op_fail(const hy_op_context *context, hy_status status, const char *format, ...);

#define HY_SHAPE(...) ((hy_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})

/* The layout of B sequences of T tokens; with cu_seqlens [N+1] (B must be 1) its documents, else one per sequence. Local. */
HY_MUST_CHECK hy_status hy_op_layout(const hy_op_context *context, const hy_op_input *in, int64_t B, int64_t T,
                                     hy_layout **out);

/* The lists of a layout, with what `needs` tells. Local. */
HY_MUST_CHECK hy_status hy_op_lists(const hy_op_context *context, const hy_lists_needs *needs, const hy_layout *layout,
                                    hy_lists **out);

/* ---- memory: freed together, checked once ---- */

enum { HY_OP_BLOCKS_MAX = 64 };

typedef struct hy_op_block {
    hy_device *device; /* NULL: the host's */
    void *memory;
} hy_op_block;

typedef struct hy_op_pool {
    hy_device *device;
    hy_op_block blocks[HY_OP_BLOCKS_MAX];
    int n;
    hy_status status; /* first failure */
} hy_op_pool;

/* Of the device; zero-filled; NULL after a failure. */
void *hy_op_take(hy_op_pool *pool, const char *name, size_t bytes);
/* A tensor; this rank's rows of a [B,T,...] tensor. NULL if the tensor is. */
void *hy_op_take_whole(hy_op_pool *pool, const hy_op_tensor *tensor);
void *hy_op_take_shard(hy_op_pool *pool, const hy_layout *layout, const hy_op_tensor *tensor);
/* The same in the host's memory. */
void *hy_op_take_host(hy_op_pool *pool, const char *name, size_t bytes);
void *hy_op_take_host_shard(hy_op_pool *pool, const hy_layout *layout, const hy_op_tensor *tensor);
/* Behind all that the device was given. */
void hy_op_pool_free(hy_op_pool *pool);

/* ---- output of what the device holds: file is NULL everywhere but on rank 0 ---- */

typedef struct hy_op_output {
    hy_tensor_file *file;
    hy_status status; /* rank 0: first failure */
} hy_op_output;

/* Collective; the verdict of the whole output comes from hy_op_output_finish. */
void hy_op_output_create(const hy_op_context *context, const char *path, hy_op_output *out);
/* Gathers rows [T,...] into [B,T,...] = shape on rank 0, which writes them, bf16 as float32. Collective. */
void hy_op_output_rows(const hy_op_context *context, hy_op_output *out, const hy_layout *layout, const char *name,
                       hy_role role, hy_shape shape, const void *local);
/* Sums over ranks and writes. Collective. */
void hy_op_output_sum(const hy_op_context *context, hy_op_output *out, const char *name, hy_role role, hy_shape shape,
                      const void *data);
HY_MUST_CHECK hy_status hy_op_output_finish(const hy_op_context *context, hy_op_output *out); /* Collective */

/* ---- the operations: read `in`, run forward and backward, write `out`. Collective ---- */
HY_MUST_CHECK hy_status hy_op_recurrence(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_dplr(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_rwkv6(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_hgrn(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_log_linear(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_attention(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_conv(hy_op_context *context, const char *in, const char *out);
HY_MUST_CHECK hy_status hy_op_model(hy_op_context *context, const char *in, const char *out);

#endif
