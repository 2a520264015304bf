/* A model: its parameters, its plan of memory, and one step through it. Built once; a step allocates nothing.
 *
 * Parameters have an order, the *flat* one, in which the gradients and the master copy lie. It is divided into buckets of one role
 * each, in the order in which backward finishes them last to first: all that is no matrix (HY_BUCKET_STATS), the matrices of
 * embedding and head (HY_BUCKET_ENDS), then those of each block. A bucket's length is a multiple of the number of shards asked
 * for, so that it can be reduce-scattered whole; it may be empty.
 *
 * What a pass reads is the *compute copy*: the same order, every element in the type that the precision gives its parameter's role.
 * Both are owned by the caller; in float32 and float64 they can be one array. */
#ifndef HY_LAYERS_MODEL_H
#define HY_LAYERS_MODEL_H

#include "base/status.h"
#include "layers/graph/plan.h"
#include "layers/model_config.h"
#include "sp/sp.h"

typedef enum hy_init {
    HY_INIT_NORMAL, /* N(0, init_std) */
    HY_INIT_ZERO,
    HY_INIT_ONE,
    HY_INIT_LOG_UNIFORM_A, /* log U(0,16) or log U(1,16): A_log */
    HY_INIT_LOG_COUNT,     /* log 1, log 2, ..., in every row */
    HY_INIT_DT_BIAS,       /* softplus^-1 of exp(U(ln 1e-3, ln 1e-1)) floored at 1e-4 */
    HY_INIT_UNIFORM,       /* U(−scale, scale) */
    HY_INIT_RAMP,          /* from init_a (first element) to init_b (last) in equal steps */
    HY_INIT_CONSTANT,      /* init_a */
    HY_INIT_FORMULA,       /* formula(param, index) */
    HY_INIT_ORTHOGONAL     /* rows, or columns if there are fewer, orthogonal and of length init_a */
} hy_init;

typedef struct hy_param hy_param;
struct hy_param {
    char name[128]; /* as in published checkpoints of flash-linear-attention, e.g. model.layers.3.attn.q_proj.weight */
    int n_dims;
    int64_t shape[4];
    int64_t size, offset; /* elements; offset into the flat array */
    int block;            /* 1+l = of block l; 0 = of the ends, or of several blocks */
    int bucket;
    hy_role role; /* HY_ROLE_WEIGHT: a matrix that products or the embedding read; else HY_ROLE_STAT */
    bool decay;   /* weight decay applies */
    hy_init init;
    double init_a, init_b; /* parameters of the initialiser */
    double (*formula)(const hy_param *param, int64_t index);
};

typedef struct hy_model hy_model;

/* `config` must be resolved; it is copied. shards: world size (1 = no padding). Local. */
HY_MUST_CHECK hy_status hy_model_create(const hy_model_config *config, int shards, hy_model **out);
void hy_model_destroy(hy_model *model);

const hy_model_config *hy_model_config_of(const hy_model *model);
const hy_param *hy_model_params(const hy_model *model, int64_t *count);
int64_t hy_model_parameter_count(const hy_model *model);    /* without padding; a tied head counts once */
int64_t hy_model_flat_size(const hy_model *model);          /* elements, with padding */
enum { HY_BUCKET_STATS, HY_BUCKET_ENDS, HY_BUCKET_BLOCKS }; /* the last: of block 0; block l's comes l later */
static inline hy_role hy_bucket_role(int bucket) {
    return bucket == HY_BUCKET_STATS ? HY_ROLE_STAT : HY_ROLE_WEIGHT;
}
int hy_model_bucket_count(const hy_model *model);
void hy_model_bucket(const hy_model *model, int bucket, int64_t *begin, int64_t *end); /* in flat order */

/* Where flat element `flat` lies in the compute copy, in bytes; that of the flat size is the copy's size. */
int64_t hy_model_compute_offset(const hy_model *model, hy_dtype precision, int64_t flat);

/* Flat elements begin .. begin + n − 1 into the compute copy of the device's precision, rounded; from [n] stat. All in the device's memory. */
void hy_model_round(const hy_model *model, hy_device *device, int64_t begin, int64_t n, const void *from,
                    void *compute);
/* The compute copy of the device's precision from `flat` in the type of statistics, in the host's memory. Local. */
HY_MUST_CHECK hy_status hy_model_write_params(const hy_model *model, hy_device *device, const void *flat,
                                              void *compute);

/* Initial parameters: each element a function of (seed, parameter name, its index) only; of an orthogonal matrix, of all elements
 * of that parameter. Padding is 0. Local. */
void hy_model_init_params(const hy_model *model, uint64_t seed, hy_dtype dtype, void *flat);
/* The same in a device's memory, which is zeros so far. Local. */
HY_MUST_CHECK hy_status hy_model_init_on_device(const hy_model *model, uint64_t seed, hy_dtype dtype, hy_device *device,
                                                void *flat);

/* What backward computes again instead of holding it: nothing; norms, activations, gates and convolutions; everything inside a block
 * but what its exchanges brought. */
typedef enum hy_recompute { HY_RECOMPUTE_NONE, HY_RECOMPUTE_LIGHT, HY_RECOMPUTE_BLOCK } hy_recompute;
extern const char *const hy_recompute_names[]; /* by value; NULL at the end */

/* Where the values are between forward and backward that are not computed again: in the device's memory, or in the host's. */
typedef enum hy_offload_to { HY_OFFLOAD_NONE, HY_OFFLOAD_HOST } hy_offload_to;
extern const char *const hy_offload_names[]; /* by value; NULL at the end */

/* How a model runs on this rank. */
typedef struct hy_run_shape {
    hy_sp_method method;
    int sequence_size, sequence_rank; /* of the sequence communicator */
    int64_t n_seq, len;               /* sequences per micro-step of this rank's group; tokens in each */
    hy_dtype dtype;
    hy_recompute recompute;
    hy_offload_to offload;
    bool train;        /* false: forward only, less memory */
    bool carry;        /* sequences go on from step to step (hy_runner_set_carried) */
    int64_t head_tile; /* rows of logits at a time; 0 = chosen */
} hy_run_shape;

/* A model bound to memory on one rank. */
typedef struct hy_runner hy_runner;

/* What a runner needs, in bytes. */
typedef struct hy_run_bytes {
    int64_t arena; /* of the device's memory: activations, gradients of activations, scratch */
    int64_t held;  /* the part of it that lives from forward to backward */
    int64_t host;  /* of memory of hy_device_host_alloc: what is offloaded */
} hy_run_bytes;

/* Memory for that, of the device and of the host; what there are no bytes of may be NULL. */
typedef struct hy_run_memory {
    void *arena, *host;
} hy_run_memory;

/* Reserves its memory. `params` (the compute copy) and `grads` (flat; NULL if !train) are borrowed for the runner's life. `broken`
 * is the test hook of hy_sp. With fixed fragments (hy_sp_method) there are hy_sp_sums flat arrays of gradients, one behind the other. Local. */
HY_MUST_CHECK hy_status hy_runner_create(const hy_model *model, const hy_run_shape *shape, hy_device *device,
                                         hy_comm *sequence, void *params, void *grads, int broken, hy_runner **out);
/* The same in the caller's memory with room for hy_runner_plan_bytes; runners that never run at the same time may share it. */
HY_MUST_CHECK hy_status hy_runner_create_in(const hy_model *model, const hy_run_shape *shape, hy_device *device,
                                            hy_comm *sequence, void *params, void *grads, const hy_run_memory *memory,
                                            hy_runner **out);
HY_MUST_CHECK hy_status hy_runner_plan_bytes(const hy_model *model, const hy_run_shape *shape,
                                             const hy_profile *profile, hy_run_bytes *bytes);
void hy_runner_destroy(hy_runner *runner);
hy_run_bytes hy_runner_bytes(const hy_runner *runner);

/* Told when an instruction begins and ends: of block l + 1, layer l; block 0, embedding and head. recomputation is backward. */
typedef struct hy_run_watch {
    void (*node)(struct hy_run_watch *watch, int block, bool backward, bool begins);
} hy_run_watch;
void hy_runner_set_watch(hy_runner *runner, hy_run_watch *watch); /* borrowed; NULL: none */

/* ---- what goes on from step to step: states, rows of convolutions, of sequences whose document is longer ----
 *
 * With hy_run_shape.carry, a runner reads it where the batch's layout says that a sequence goes on (hy_layout_carry), and leaves what the
 * next step reads in the same place: a block of hy_runner_carried_bytes per micro-step, in the device's memory. It is read on the rank
 * that has the sequences' first tokens and written on that which has their last, between which hy_runner_pass_carried moves it. Gradients
 * stop at the step. */

/* Bytes of a micro-step's block; 0 without carry. */
int64_t hy_runner_carried_bytes(const hy_runner *runner);
/* Whether this rank reads or writes it; others have none. */
bool hy_runner_carries_here(const hy_runner *runner);
/* The block of the micro-step that runs next, borrowed; NULL where this rank has none. */
void hy_runner_set_carried(hy_runner *runner, void *values);
/* n blocks, one after the other, to the rank that reads them. Collective over the sequence communicator. */
void hy_runner_pass_carried(hy_runner *runner, void *values, int64_t n);
/* Bytes of one sequence; they are copied out of a block (to it) in the host's memory, by a sequence's place in the micro-step. */
int64_t hy_runner_carried_sequence(const hy_runner *runner);
void hy_runner_carried_take(const hy_runner *runner, const void *block, int64_t sequence, void *one);
void hy_runner_carried_put(const hy_runner *runner, const void *one, int64_t sequence, void *block);

typedef struct hy_batch {
    const hy_layout *layout; /* same kind, sizes as the runner's shape; documents set */
    const int32_t *tokens;   /* [T] local order */
    const int32_t *labels;   /* [T]; −100 = not counted */
} hy_batch;

/* Called before a pass first reads a bucket's parameters; again in every pass. */
typedef void (*hy_bucket_needed)(void *context, int bucket);
void hy_runner_set_needed(hy_runner *runner, hy_bucket_needed needed, void *context);

/* Called when a bucket's gradient is complete on this rank, while backward goes on with the next. */
typedef void (*hy_bucket_ready)(void *context, int bucket);

/* Forward and backward: adds this rank's Σ of token losses to *loss_sum (with fixed fragments to loss_sum[hy_sp_sums]), in the device's memory; adds d(loss_sum·d_scale)/dθ to the gradients.
 * d_scale is 1 / (valid tokens of the step over all ranks). ready may be NULL. Collective over the sequence communicator. */
void hy_runner_step(hy_runner *runner, const hy_batch *batch, double d_scale, double *loss_sum, hy_bucket_ready ready,
                    void *context);

/* What an evaluation may fill in per local token, in the device's memory; each may be NULL. */
typedef struct hy_eval_rows {
    double *loss;     /* [T] 0 where not counted */
    uint8_t *correct; /* [T] whether the label is the logits' argmax; 0 where not counted */
    void *logits;     /* [T,vocab] stat: as they come out of the product, float32 in bf16 */
} hy_eval_rows;

/* Forward only: adds to *loss_sum and fills `rows`. Collective over the sequence communicator. */
void hy_runner_eval(hy_runner *runner, const hy_batch *batch, double *loss_sum, const hy_eval_rows *rows);

/* What a layer is, for the table at start and for plan. */
typedef struct hy_layer_info {
    const char *mixer, *kind, *method; /* method: of its exchange */
    bool recurs;                       /* it has states that pass fragments */
    double log_decay_max;              /* of these, per token; 0: not fixed (hy_recur_args) */
    int64_t window;                    /* of its softmax attention, 0: all before; −1: it has none */
    double
        flops_fwd; /* model FLOPs of the whole layer per micro-step of the group (all ranks), causal and window counted exactly for one document per sequence */
} hy_layer_info;
void hy_model_layer_info(const hy_model *model, const hy_run_shape *shape, int64_t layer, hy_layer_info *out);
/* Model FLOPs, forward, of the whole model for sequences with these documents (backward counts twice). Head included. Local. */
double hy_model_flops_fwd(const hy_model *model, const int64_t *docs, int64_t n_docs);

#endif
