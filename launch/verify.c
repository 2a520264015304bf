#include "launch/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Label of a token: the next one of its document; none for a document's last, and none for about one in twenty. */
static void fill_labels(hy_verify_data *data, uint64_t seed) {
    data->counted = 0;
    for (int64_t d = 0; d < data->n_docs; d++)
        for (int64_t t = data->docs[d]; t < data->docs[d + 1]; t++) {
            bool counted = t + 1 < data->docs[d + 1] && hy_random_uniform(seed, 3, (uint64_t)t) > 0.05;
            data->labels[t] = counted ? data->ids[t + 1] : -100;
            data->counted += counted;
        }
}

hy_status hy_verify_data_create(int64_t tokens, int64_t n_docs, int64_t vocab, uint64_t seed, hy_verify_data *data) {
    *data = (hy_verify_data){.tokens = tokens, .n_docs = n_docs};
    hy_status status = HY_NEW("documents", n_docs + 1, &data->docs);
    if (status == HY_OK)
        status = HY_NEW("tokens", tokens, &data->ids);
    if (status == HY_OK)
        status = HY_NEW("labels", tokens, &data->labels);
    if (status != HY_OK) {
        hy_verify_data_free(data);
        return status;
    }
    for (int64_t d = 1; d < n_docs; d++)
        data->docs[d] = (int64_t)(hy_random_u64(seed, 1, (uint64_t)d) % (uint64_t)(tokens + 1));
    data->docs[n_docs] = tokens;
    qsort(data->docs, (size_t)n_docs + 1, sizeof *data->docs, by_value);
    for (int64_t t = 0; t < tokens; t++)
        data->ids[t] = (int32_t)(hy_random_u64(seed, 2, (uint64_t)t) % (uint64_t)vocab);
    fill_labels(data, seed);
    return HY_OK;
}

void hy_verify_data_free(hy_verify_data *data) {
    hy_free(data->docs);
    hy_free(data->ids);
    hy_free(data->labels);
    *data = (hy_verify_data){.tokens = 0};
}

static hy_status take_memory(const hy_model *model, const void *masters, hy_verify_run *r) {
    const int64_t n = r->flat;
    HY_TRY(hy_device_alloc(r->device, "compute copy of the parameters",
                           (size_t)hy_model_compute_offset(model, r->dtype, n), &r->params));
    HY_TRY(hy_device_alloc(r->device, "gradients", (size_t)n * hy_role_size(r->dtype, HY_ROLE_GRAD), &r->grads));
    HY_TRY(hy_device_alloc(r->device, "loss", sizeof(double), (void **)&r->loss));
    return hy_model_write_params(model, r->device, masters, r->params);
}

static hy_status prepare_step(const hy_model *model, const hy_verify_method *method, const void *masters,
                              hy_verify_run *r) {
    const hy_verify_data *data = r->data;
    const int size = hy_comm_size(r->ranks), rank = hy_comm_rank(r->ranks);
    const hy_run_shape shape = {.method = method->sp,
                                .sequence_size = size,
                                .sequence_rank = rank,
                                .n_seq = 1,
                                .len = data->tokens,
                                .dtype = method->dtype,
                                .recompute = method->recompute,
                                .train = true};
    HY_TRY(take_memory(model, masters, r));
    HY_TRY(hy_layout_create_cut(method->sp.layout, &method->sp.cuts, size, rank, 1, data->tokens, &r->layout));
    HY_TRY(hy_layout_set_documents(r->layout, data->docs, data->n_docs));
    HY_TRY(HY_NEW("tokens", r->layout->T, &r->ids));
    HY_TRY(HY_NEW("labels", r->layout->T, &r->labels));
    hy_layout_shard(r->layout, data->ids, sizeof *r->ids, r->ids);
    hy_layout_shard(r->layout, data->labels, sizeof *r->labels, r->labels);
    return hy_runner_create(model, &shape, r->device, r->bound, r->params, r->grads, method->broken, &r->runner);
}

hy_status hy_verify_begin(const hy_model *model, const hy_verify_data *data, const hy_verify_method *method,
                          hy_comm *comm, const void *masters, hy_verify_run *r) {
    *r = (hy_verify_run){.data = data, .ranks = comm, .flat = hy_model_flat_size(model), .dtype = method->dtype};
    hy_status status = hy_comm_agree(comm, hy_device_create(method->table, method->dtype, &r->device));
    if (status == HY_OK) {
        status = hy_comm_bind(comm, r->device, method->transport, &r->bound);
    }
    if (status == HY_OK) {
        status = hy_comm_agree(comm, prepare_step(model, method, masters, r));
    }
    if (status != HY_OK) {
        hy_verify_end(r);
    }
    return status;
}

void hy_verify_end(hy_verify_run *r) {
    hy_comm_destroy(r->bound);
    hy_runner_destroy(r->runner);
    if (r->device != NULL) {
        hy_device_free(r->device, r->params);
        hy_device_free(r->device, r->grads);
        hy_device_free(r->device, r->loss);
    }
    hy_device_destroy(r->device);
    hy_layout_destroy(r->layout);
    hy_free(r->ids);
    hy_free(r->labels);
}

static double scale_of(const hy_verify_data *data) {
    return data->counted > 0 ? 1 / (double)data->counted : 0;
}

void hy_verify_pass(hy_verify_run *r, bool backward) {
    const hy_batch batch = {r->layout, r->ids, r->labels};
    const hy_eval_rows none = {0};
    if (backward) {
        hy_runner_step(r->runner, &batch, scale_of(r->data), r->loss, NULL, NULL);
    } else {
        hy_runner_eval(r->runner, &batch, r->loss, &none);
    }
    hy_device_wait(r->device, hy_device_mark(r->device, HY_LANE_COMPUTE));
}

static void sum(hy_comm *comm, void *data, int64_t n, hy_type type) {
    hy_req req = {0};
    hy_comm_all_reduce(comm, "verify", data, n, type, HY_SUM, &req);
    hy_comm_wait(&req);
}

void hy_verify_read(hy_verify_run *r, double *loss, void *grads) {
    hy_device_read(r->device, r->loss, sizeof *loss, loss);
    hy_device_read(r->device, r->grads, (size_t)r->flat * hy_role_size(r->dtype, HY_ROLE_GRAD), grads);
    sum(r->ranks, loss, 1, HY_TYPE_F64);
    sum(r->ranks, grads, r->flat, r->dtype == HY_F64 ? HY_TYPE_F64 : HY_TYPE_F32);
    *loss *= scale_of(r->data);
}

hy_status hy_verify_step(const hy_model *model, const hy_verify_data *data, const hy_verify_method *method,
                         hy_comm *comm, const void *masters, double *loss, void *grads) {
    hy_verify_run run;
    HY_TRY(hy_verify_begin(model, data, method, comm, masters, &run));
    hy_verify_pass(&run, true);
    hy_verify_read(&run, loss, grads);
    hy_verify_end(&run);
    return HY_OK;
}

static double element_of(const void *x, int64_t i, hy_dtype dtype) {
    return dtype == HY_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

double hy_verify_rms(const void *x, int64_t n, hy_dtype dtype) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++)
        squares += element_of(x, i, dtype) * element_of(x, i, dtype);
    return n > 0 ? sqrt(squares / (double)n) : 0;
}

double hy_verify_error(const void *got, const void *want, int64_t n, hy_dtype dtype, double floor) {
    double squares = 0, size = hy_verify_rms(want, n, dtype);
    for (int64_t i = 0; i < n; i++) {
        double off = element_of(got, i, dtype) - element_of(want, i, dtype);
        squares += off * off;
    }
    if (!isfinite(squares) || !isfinite(size))
        return (double)INFINITY;
    return squares == 0 ? 0 : sqrt(squares / (double)n) / (size > floor ? size : floor);
}
