/* The losses of single tokens, forward only: in one step, or in two of half the length that carry what train.carry_state does. */
#include <string.h>

#include "base/memory.h"
#include "launch/verify.h"

typedef struct rows_run {
    int steps;
    int64_t len; /* of a step */
    hy_device *device;
    hy_comm *data; /* bound to the device */
    hy_layout *layout;
    hy_runner *runner;
    void *params;
    double *loss; /* [1 + T] in the device's memory: the sum, each token's */
    char *carried;
    double *here;          /* [T] */
    int32_t *ids, *labels; /* [T] this rank's */
    int64_t *docs;         /* [n_docs + 2] of a step */
} rows_run;

static hy_status take_room(const hy_model *model, const hy_verify_data *data, const hy_verify_method *method,
                           const void *masters, rows_run *r) {
    const int size = hy_comm_size(r->data), rank = hy_comm_rank(r->data);
    const hy_run_shape shape = {.method = method->sp,
                                .sequence_size = size,
                                .sequence_rank = rank,
                                .n_seq = 1,
                                .len = r->len,
                                .dtype = method->dtype,
                                .carry = r->steps > 1};
    HY_TRY(hy_device_alloc(r->device, "compute copy of the parameters",
                           (size_t)hy_model_compute_offset(model, method->dtype, hy_model_flat_size(model)),
                           &r->params));
    HY_TRY(hy_model_write_params(model, r->device, masters, r->params));
    HY_TRY(hy_layout_create_cut(method->sp.layout, &method->sp.cuts, size, rank, 1, r->len, &r->layout));
    HY_TRY(hy_runner_create(model, &shape, r->device, r->data, r->params, NULL, method->broken, &r->runner));
    HY_TRY(hy_device_alloc(r->device, "losses", (size_t)(1 + r->layout->T) * sizeof(double), (void **)&r->loss));
    HY_TRY(HY_NEW("losses", r->layout->T, &r->here));
    HY_TRY(HY_NEW("tokens", r->layout->T, &r->ids));
    HY_TRY(HY_NEW("labels", r->layout->T, &r->labels));
    HY_TRY(HY_NEW("documents of a step", data->n_docs + 2, &r->docs));
    return hy_runner_carries_here(r->runner)
               ? hy_device_alloc(r->device, "carried states", (size_t)hy_runner_carried_bytes(r->runner),
                                 (void **)&r->carried)
               : HY_OK;
}

/* The documents of step `step`, and how much of the first one earlier steps had. */
static hy_status set_step(rows_run *r, const hy_verify_data *data, int step) {
    const int64_t begin = step * r->len;
    int64_t n = 0, before = 0;
    r->docs[n++] = 0;
    for (int64_t d = 0; d < data->n_docs; d++) {
        if (data->docs[d] <= begin) {
            before = begin - data->docs[d];
        } else if (data->docs[d] < begin + r->len) {
            r->docs[n++] = data->docs[d] - begin;
        }
    }
    r->docs[n] = r->len;
    HY_TRY(hy_layout_set_documents(r->layout, r->docs, n));
    hy_layout_carry(r->layout, &before);
    hy_layout_shard(r->layout, data->ids + begin, sizeof *r->ids, r->ids);
    hy_layout_shard(r->layout, data->labels + begin, sizeof *r->labels, r->labels);
    return HY_OK;
}

static hy_status run_rows_step(rows_run *r, const hy_verify_data *data, int step, double *rows) {
    HY_TRY(set_step(r, data, step));
    hy_runner_set_carried(r->runner, r->carried);
    hy_runner_eval(r->runner, &(hy_batch){r->layout, r->ids, r->labels}, r->loss, &(hy_eval_rows){.loss = r->loss + 1});
    if (r->steps > 1) {
        hy_runner_pass_carried(r->runner, r->carried, 1);
    }
    hy_device_read(r->device, r->loss + 1, (size_t)r->layout->T * sizeof(double), r->here);
    hy_layout_unshard(r->layout, r->here, sizeof(double), rows + step * r->len);
    return HY_OK;
}

hy_status hy_verify_rows(const hy_model *model, const hy_verify_data *data, const hy_verify_method *method,
                         hy_comm *comm, const void *masters, int steps, double *rows) {
    rows_run r = {.steps = steps, .len = data->tokens / 2 * 2 / steps};
    memset(rows, 0, (size_t)data->tokens * sizeof *rows);
    hy_status status = hy_comm_agree(comm, hy_device_create(method->table, method->dtype, &r.device));
    if (status == HY_OK) {
        status = hy_comm_bind(comm, r.device, method->transport, &r.data);
    }
    if (status == HY_OK) {
        status = hy_comm_agree(comm, take_room(model, data, method, masters, &r));
    }
    for (int step = 0; step < steps && status == HY_OK; step++) {
        status = run_rows_step(&r, data, step, rows);
    }
    if (status == HY_OK) {
        hy_req req = {0};
        hy_comm_all_reduce(comm, "verify", rows, data->tokens, HY_TYPE_F64, HY_SUM, &req);
        hy_comm_wait(&req);
    }
    hy_comm_destroy(r.data);
    hy_runner_destroy(r.runner);
    hy_device_free(r.device, r.params);
    hy_device_free(r.device, r.loss);
    hy_device_free(r.device, r.carried);
    hy_device_destroy(r.device);
    hy_layout_destroy(r.layout);
    hy_free(r.here);
    hy_free(r.ids);
    hy_free(r.labels);
    hy_free(r.docs);
    return status;
}
