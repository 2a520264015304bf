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

typedef struct step {
    hy_layout *layout;
    hy_runner *runner;
    hy_device *device;
    hy_comm *data;         /* bound to the device */
    void *params, *grads;  /* the compute copy and flat, in the device's memory */
    double *loss;          /* likewise */
    int32_t *ids, *labels; /* [T] this rank's */
} step;

static hy_status take_memory(const hy_model *model, hy_dtype dtype, const void *masters, step *s) {
    const int64_t n = hy_model_flat_size(model);
    HY_TRY(hy_device_alloc(s->device, "compute copy of the parameters",
                           (size_t)hy_model_compute_offset(model, dtype, n), &s->params));
    HY_TRY(hy_device_alloc(s->device, "gradients", (size_t)n * hy_role_size(dtype, HY_ROLE_GRAD), &s->grads));
    HY_TRY(hy_device_alloc(s->device, "loss", sizeof(double), (void **)&s->loss));
    return hy_model_write_params(model, s->device, masters, s->params);
}

static hy_status prepare_step(const hy_model *model, const hy_verify_data *data, const hy_verify_method *method,
                              hy_comm *comm, const void *masters, step *s) {
    int size = hy_comm_size(comm), rank = hy_comm_rank(comm);
    hy_run_shape shape = {.method = method->sp,
                          .sequence_size = size,
                          .sequence_rank = rank,
                          .n_seq = 1,
                          .len = data->tokens,
                          .dtype = method->dtype,
                          .recompute = method->recompute,
                          .train = true};
    HY_TRY(take_memory(model, method->dtype, masters, s));
    HY_TRY(hy_layout_create(method->sp.layout, size, rank, 1, data->tokens, &s->layout));
    HY_TRY(hy_layout_set_documents(s->layout, data->docs, data->n_docs));
    HY_TRY(HY_NEW("tokens", s->layout->T, &s->ids));
    HY_TRY(HY_NEW("labels", s->layout->T, &s->labels));
    hy_layout_shard(s->layout, data->ids, sizeof *s->ids, s->ids);
    hy_layout_shard(s->layout, data->labels, sizeof *s->labels, s->labels);
    return hy_runner_create(model, &shape, s->device, s->data, s->params, s->grads, method->broken, &s->runner);
}

static void sum(hy_comm *comm, void *data, int64_t n, hy_type type) {
    hy_req req = {0};
    hy_comm_all_reduce(comm, "verify", data, n, type, HY_SUM, &req);
    hy_comm_wait(&req);
}

hy_status hy_verify_step(const hy_model *model, const hy_verify_data *data, const hy_verify_method *method,
                         hy_comm *comm, const void *masters, double *loss, void *grads) {
    step s = {.layout = NULL};
    int64_t flat = hy_model_flat_size(model);
    hy_status status = hy_comm_agree(comm, hy_device_create(method->table, method->dtype, &s.device));
    if (status == HY_OK) {
        status = hy_comm_bind(comm, s.device, method->transport, &s.data);
    }
    if (status == HY_OK) {
        status = hy_comm_agree(comm, prepare_step(model, data, method, comm, masters, &s));
    }
    if (status == HY_OK) {
        hy_batch batch = {s.layout, s.ids, s.labels};
        double total = 0, scale = data->counted > 0 ? 1 / (double)data->counted : 0;
        hy_runner_step(s.runner, &batch, scale, s.loss, NULL, NULL);
        hy_device_read(s.device, s.loss, sizeof total, &total);
        hy_device_read(s.device, s.grads, (size_t)flat * hy_role_size(method->dtype, HY_ROLE_GRAD), grads);
        sum(comm, &total, 1, HY_TYPE_F64);
        sum(comm, grads, flat, method->dtype == HY_F64 ? HY_TYPE_F64 : HY_TYPE_F32);
        *loss = total * scale;
    }
    hy_comm_destroy(s.data);
    hy_runner_destroy(s.runner);
    hy_device_free(s.device, s.params);
    hy_device_free(s.device, s.grads);
    hy_device_free(s.device, s.loss);
    hy_device_destroy(s.device);
    hy_layout_destroy(s.layout);
    hy_free(s.ids);
    hy_free(s.labels);
    return status;
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
