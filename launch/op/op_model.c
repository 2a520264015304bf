/* `hylas op model`: loss, logits and every gradient of a published model, its sequence sharded over the ranks.
 *
 * tokens, labels [B,T] int32 (label −100: not counted); loss = mean over counted labels; gradients are named and shaped as the
 * tensors of the model's own files. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/product.h"
#include "launch/op/op.h"
#include "layers/model.h"
#include "train/publish/hf.h"

typedef struct model_run {
    hy_op_input in;
    const hy_op_tensor *tokens, *labels;
    int64_t B, T, counted;
    hy_hf *hf;
    hy_model *model;
    hy_layout *layout;
    hy_op_pool pool;
    void *params, *grads, *logits; /* compute copy; flat; [T,vocab] of this rank, stat */
    double *device_loss;           /* Σ of this rank */
    double loss_sum;               /* ... of all */
    void *all_grads;               /* the sum over ranks, in the host's memory */
} model_run;

/* Rank 0 reads config.json; all understand the same text. */
static hy_status open_config(hy_op_context *context, hy_hf **out) {
    hy_comm *world = context->world;
    hy_status status = HY_OK;
    hy_hf *hf = NULL;
    bool root = hy_comm_rank(world) == 0;
    if (root)
        status = hy_hf_open(context->options.model, &hf);
    HY_TRY(hy_comm_agree(world, status));
    size_t len = 0;
    char *text = root ? (char *)(uintptr_t)hy_hf_config_text(hf, &len) : NULL;
    hy_op_broadcast(world, "config.json", &len, sizeof len);
    if (!root)
        status = HY_NEW("config.json", len + 1, &text);
    status = hy_comm_agree(world, status);
    if (status == HY_OK) {
        hy_op_broadcast(world, "config.json", text, len);
        if (!root)
            status = hy_hf_parse("config.json", text, len, &hf);
        status = hy_comm_agree(world, status);
    }
    if (!root)
        hy_free(text);
    if (status == HY_OK)
        *out = hf;
    else
        hy_hf_close(hf);
    return status;
}

static hy_status check_labels(const hy_op_context *context, model_run *run) {
    int64_t vocab = hy_hf_model_config(run->hf)->vocab;
    const int32_t *tokens = run->tokens->data, *labels = run->labels->data;
    if (run->tokens->shape.n != 2 || run->tokens->shape.dim[0] < 1)
        return hy_op_fail(context, HY_ERR_DATA, "%s: tokens must be [B,T]", run->in.path);
    run->B = run->tokens->shape.dim[0], run->T = run->tokens->shape.dim[1];
    HY_TRY(hy_op_check_shape(context, &run->in, run->labels, run->tokens->shape));
    for (int64_t i = 0; i < run->B * run->T; i++) {
        if (tokens[i] < 0 || tokens[i] >= vocab)
            return hy_op_fail(context, HY_ERR_DATA, "%s: token %d at %lld, but the vocabulary has %lld", run->in.path,
                              tokens[i], (long long)i, (long long)vocab);
        if (labels[i] != -100 && (labels[i] < 0 || labels[i] >= vocab))
            return hy_op_fail(context, HY_ERR_DATA, "%s: label %d at %lld is neither a token nor -100", run->in.path,
                              labels[i], (long long)i);
        run->counted += labels[i] != -100;
    }
    return HY_OK;
}

static hy_run_shape run_shape(const hy_op_context *context, const model_run *run, bool train) {
    const hy_op_options *o = &context->options;
    return (hy_run_shape){.method = o->method,
                          .sequence_size = run->layout->size,
                          .sequence_rank = run->layout->rank,
                          .n_seq = run->B,
                          .len = run->T,
                          .dtype = o->dtype,
                          .recompute = o->recompute,
                          .train = train};
}

static hy_status make_model(hy_op_context *context, model_run *run) {
    const hy_model_config *config = hy_hf_model_config(run->hf);
    const hy_dtype dtype = context->options.dtype;
    HY_TRY(hy_model_create(config, 1, &run->model));
    const int64_t flat = hy_model_flat_size(run->model);
    run->params = hy_op_take(&run->pool, "parameters", (size_t)hy_model_compute_offset(run->model, dtype, flat));
    run->grads = hy_op_take(&run->pool, "gradients", hy_op_bytes(context, HY_ROLE_GRAD, flat));
    run->all_grads = hy_op_take_host(&run->pool, "gradients", hy_op_bytes(context, HY_ROLE_GRAD, flat));
    run->device_loss = hy_op_take(&run->pool, "loss", sizeof(double));
    HY_TRY(hy_op_layout(context, &run->in, run->B, run->T, &run->layout));
    const int64_t logits = hy_product(run->layout->T, config->vocab);
    if (logits < 0)
        return hy_fail(HY_ERR_DATA, "%s: %lld tokens: too many", run->in.path, (long long)run->layout->T);
    run->logits = hy_op_take(&run->pool, "logits", hy_op_bytes(context, HY_ROLE_STAT, logits));
    return run->pool.status;
}

/* One pass with a runner of its own: forward only (logits), or forward and backward (gradients). */
static hy_status pass(hy_op_context *context, model_run *run, const hy_batch *batch, bool train) {
    hy_run_shape shape = run_shape(context, run, train);
    hy_runner *runner = NULL;
    HY_TRY(hy_comm_agree(context->world, hy_runner_create(run->model, &shape, context->device, context->data,
                                                          run->params, train ? run->grads : NULL, 0, &runner)));
    hy_device_zero(context->device, HY_LANE_COMPUTE, run->device_loss, sizeof *run->device_loss);
    if (train)
        hy_runner_step(runner, batch, run->counted > 0 ? 1 / (double)run->counted : 0, run->device_loss, NULL, NULL);
    else
        hy_runner_eval(runner, batch, run->device_loss, &(hy_eval_rows){.logits = run->logits});
    hy_device_wait(context->device, hy_device_mark(context->device, HY_LANE_COMPUTE));
    hy_runner_destroy(runner);
    return HY_OK;
}

typedef struct gradient_file {
    hy_tensor_file *file;
    hy_element element;
} gradient_file;

static hy_status write_model_gradient(void *context, const char *name, int n_dims, const int64_t *shape,
                                      const void *data) {
    const gradient_file *to = context;
    char full[HY_TENSOR_NAME_MAX + 8];
    hy_shape s = {.n = n_dims};
    memcpy(s.dim, shape, (size_t)n_dims * sizeof *shape);
    snprintf(full, sizeof full, "grad/%s", name);
    return hy_tensor_file_write(to->file, full, to->element, &s, data);
}

static void add_up_ranks(hy_comm *world, void *data, int64_t n, hy_type type) {
    hy_req req = {0};
    hy_comm_all_reduce(world, "op sum", data, n, type, HY_SUM, &req);
    hy_comm_wait(&req);
}

static hy_status write_model_results(const hy_op_context *context, model_run *run, const char *path) {
    const hy_dtype dtype = hy_dtype_of(context->options.dtype, HY_ROLE_GRAD);
    const int64_t flat = hy_model_flat_size(run->model);
    hy_op_output out;
    hy_device_read(context->device, run->device_loss, sizeof run->loss_sum, &run->loss_sum);
    hy_device_read(context->device, run->grads, hy_op_bytes(context, HY_ROLE_GRAD, flat), run->all_grads);
    add_up_ranks(context->world, &run->loss_sum, 1, HY_TYPE_F64);
    add_up_ranks(context->world, run->all_grads, flat, dtype == HY_F64 ? HY_TYPE_F64 : HY_TYPE_F32);
    double loss = run->counted > 0 ? run->loss_sum / (double)run->counted : 0;
    hy_op_output_create(context, path, &out);
    if (out.file && out.status == HY_OK) {
        gradient_file to = {out.file, dtype == HY_F64 ? HY_ELEMENT_F64 : HY_ELEMENT_F32};
        out.status = hy_tensor_file_write(out.file, "loss", HY_ELEMENT_F64, &(hy_shape){.n = 0}, &loss);
        if (out.status == HY_OK)
            out.status = hy_hf_visit_tensors(run->hf, run->model, dtype, run->all_grads, write_model_gradient, &to);
    }
    hy_op_output_rows(context, &out, run->layout, "logits", HY_ROLE_STAT,
                      HY_SHAPE(run->B, run->T, hy_hf_model_config(run->hf)->vocab), run->logits);
    return hy_op_output_finish(context, &out);
}

/* Rank 0 reads the masters, float32 at least; all round them. */
static hy_status read_params(hy_op_context *context, model_run *run) {
    const hy_dtype precision = context->options.dtype, dtype = hy_dtype_of(precision, HY_ROLE_STAT);
    const size_t bytes = (size_t)hy_model_flat_size(run->model) * hy_dtype_size(dtype);
    void *masters = NULL;
    hy_status status = hy_alloc("master parameters", bytes, &masters);
    if (status == HY_OK && hy_comm_rank(context->world) == 0)
        status = hy_hf_read_params(run->hf, context->options.model, run->model, dtype, masters, NULL);
    status = hy_comm_agree(context->world, status);
    if (status == HY_OK) {
        hy_op_broadcast(context->world, "parameters", masters, bytes);
        status =
            hy_comm_agree(context->world, hy_model_write_params(run->model, context->device, masters, run->params));
    }
    hy_free(masters);
    return status;
}

static hy_status run_model(hy_op_context *context, model_run *run, const char *path) {
    HY_TRY(check_labels(context, run));
    HY_TRY(hy_comm_agree(context->world, make_model(context, run)));
    HY_TRY(read_params(context, run));
    hy_batch batch = {.layout = run->layout};
    batch.tokens = hy_op_take_host_shard(&run->pool, run->layout, run->tokens);
    batch.labels = hy_op_take_host_shard(&run->pool, run->layout, run->labels);
    HY_TRY(hy_comm_agree(context->world, run->pool.status));
    HY_TRY(pass(context, run, &batch, false));
    HY_TRY(pass(context, run, &batch, true));
    return write_model_results(context, run, path);
}

hy_status hy_op_model(hy_op_context *context, const char *in, const char *out) {
    const hy_op_wanted wanted[] = {{.name = "tokens", .required = true, .integers = HY_ELEMENT_I32},
                                   {.name = "labels", .required = true, .integers = HY_ELEMENT_I32},
                                   {.name = "cu_seqlens", .integers = HY_ELEMENT_I64}};
    model_run run = {.pool = {.device = context->device}};
    if (!context->options.model)
        return hy_op_fail(context, HY_ERR_USAGE, "op model needs one --model DIR for each --in FILE");
    HY_TRY(open_config(context, &run.hf));
    hy_status status = hy_op_input_read(context, in, wanted, (int)(sizeof wanted / sizeof wanted[0]), &run.in);
    if (status == HY_OK) {
        run.tokens = hy_op_input_find(&run.in, "tokens"), run.labels = hy_op_input_find(&run.in, "labels");
        status = run_model(context, &run, out);
    }
    hy_op_input_free(&run.in);
    hy_op_pool_free(&run.pool);
    hy_layout_destroy(run.layout);
    hy_model_destroy(run.model);
    hy_hf_close(run.hf);
    return status;
}
