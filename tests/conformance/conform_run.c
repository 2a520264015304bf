#include "tests/conformance/conform_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

const char *const conform_what_names[] = {"output", "input's gradient", "parameter's gradient", NULL};

/* ---- places ---- */

int conform_places_find(hy_comm *world, conform_place places[CONFORM_PLACES_MAX]) {
    static const char *const devices[] = {"cpu", "cpu_async", "cpu_apart"};
    char why[256];
    int n = 0;
    for (size_t d = 0; d < sizeof devices / sizeof devices[0]; d++) {
        hy_device *device = NULL;
        if (hy_device_create(devices[d], HY_F32, &device) != HY_OK) {
            hy_comm_abort(1);
        }
        for (int id = HY_TRANSPORT_MPI; hy_transport_names[id] != NULL; id++) {
            int64_t there = hy_transport_is_there((hy_transport_id)id, world, device, why, sizeof why);
            hy_req req;
            hy_comm_all_reduce(world, "places", &there, 1, HY_TYPE_I64, HY_MIN, &req);
            hy_comm_wait(&req);
            if (there && n < CONFORM_PLACES_MAX) {
                places[n++] = (conform_place){.device = devices[d], .transport = (hy_transport_id)id};
            }
        }
        hy_device_destroy(device);
    }
    return n;
}

static hy_status open_place(hy_comm *world, conform_place *place, hy_dtype dtype) {
    if (place->bound[dtype] != NULL) {
        return HY_OK;
    }
    HY_TRY(hy_comm_agree(world, hy_device_create(place->device, dtype, &place->devices[dtype])));
    return hy_comm_bind(world, place->devices[dtype], place->transport, &place->bound[dtype]);
}

void conform_place_close(conform_place *place) {
    for (int i = 0; i < 2; i++) {
        hy_comm_destroy(place->bound[i]);
        hy_device_destroy(place->devices[i]);
    }
}

/* ---- a pass ---- */

typedef struct pass {
    hy_comm *world;
    hy_device *device;
    hy_layout *layout;
    hy_runner *runner;
    void *params, *grads, *logits; /* the device's */
    double *loss;
    void *numbers;           /* of the host, as the following: what goes to the device and what comes from it */
    double *got, *got_grads; /* [T,CONFORM_TOKENS], [flat] of all ranks */
    int32_t *ids, *labels;   /* [T] */
} pass;

/* n elements of the device's memory, as doubles. */
static void read_numbers(const pass *p, const void *from, int64_t n, hy_dtype dtype, double *y) {
    const void *x = p->numbers;
    hy_device_read(p->device, from, (size_t)n * hy_dtype_size(dtype), p->numbers);
    for (int64_t i = 0; i < n; i++) {
        y[i] = dtype == HY_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
    }
}

static hy_status take_host(const conform_want *want, const conform_method *m, pass *p) {
    const int64_t flat = hy_model_flat_size(want->model), logits = p->layout->T * CONFORM_TOKENS;
    HY_TRY(HY_NEW("tokens", p->layout->T, &p->ids));
    HY_TRY(HY_NEW("labels", p->layout->T, &p->labels));
    HY_TRY(HY_NEW("logits", logits, &p->got));
    HY_TRY(HY_NEW("gradients", flat, &p->got_grads));
    HY_TRY(hy_alloc("numbers", (size_t)(flat > logits ? flat : logits) * sizeof(double), &p->numbers));
    for (int64_t i = 0; i < flat; i++) {
        if (m->dtype == HY_F64) {
            ((double *)p->numbers)[i] = want->params[i];
        } else {
            ((float *)p->numbers)[i] = (float)want->params[i];
        }
    }
    hy_layout_shard(p->layout, want->problem->ids, sizeof *p->ids, p->ids);
    hy_layout_shard(p->layout, want->problem->labels, sizeof *p->labels, p->labels);
    return HY_OK;
}

static hy_status take_device(const conform_want *want, const conform_method *m, hy_comm *bound, pass *p) {
    const conform_problem *problem = want->problem;
    const int64_t flat = hy_model_flat_size(want->model);
    const size_t real = hy_dtype_size(m->dtype);
    const hy_run_shape shape = {.method = m->sp,
                                .sequence_size = p->layout->size,
                                .sequence_rank = p->layout->rank,
                                .n_seq = problem->n_seq,
                                .len = problem->len,
                                .dtype = m->dtype,
                                .recompute = m->recompute,
                                .offload = m->offload,
                                .train = true};
    HY_TRY(hy_device_alloc(p->device, "parameters", (size_t)hy_model_compute_offset(want->model, m->dtype, flat),
                           &p->params));
    HY_TRY(hy_device_alloc(p->device, "gradients", (size_t)flat * real, &p->grads));
    HY_TRY(hy_device_alloc(p->device, "logits", (size_t)(p->layout->T * CONFORM_TOKENS) * real, &p->logits));
    HY_TRY(hy_device_alloc(p->device, "loss", sizeof *p->loss, (void **)&p->loss));
    HY_TRY(hy_model_write_params(want->model, p->device, p->numbers, p->params));
    return hy_runner_create(want->model, &shape, p->device, bound, p->params, p->grads, m->broken, &p->runner);
}

static hy_status begin_pass(const conform_want *want, const conform_method *m, hy_comm *bound, pass *p) {
    const conform_problem *problem = want->problem;
    HY_TRY(hy_layout_create(m->sp.layout, hy_comm_size(p->world), hy_comm_rank(p->world), problem->n_seq, problem->len,
                            &p->layout));
    HY_TRY(hy_layout_set_documents(p->layout, problem->docs, problem->n_docs));
    HY_TRY(take_host(want, m, p));
    return take_device(want, m, bound, p);
}

static void run_pass(const conform_want *want, const conform_method *m, pass *p) {
    const hy_batch batch = {p->layout, p->ids, p->labels};
    const int64_t flat = hy_model_flat_size(want->model), n = p->layout->T * CONFORM_TOKENS;
    hy_runner_eval(p->runner, &batch, p->loss, &(hy_eval_rows){.logits = p->logits});
    read_numbers(p, p->logits, n, m->dtype, p->got);
    hy_runner_step(p->runner, &batch, 1, p->loss, NULL, NULL);
    read_numbers(p, p->grads, flat, m->dtype, p->got_grads);
    hy_req req;
    hy_comm_all_reduce(p->world, "gradients", p->got_grads, flat, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
}

static void end_pass(pass *p) {
    hy_runner_destroy(p->runner);
    hy_device_free(p->device, p->params);
    hy_device_free(p->device, p->grads);
    hy_device_free(p->device, p->logits);
    hy_device_free(p->device, p->loss);
    hy_layout_destroy(p->layout);
    hy_free(p->numbers);
    hy_free(p->got);
    hy_free(p->got_grads);
    hy_free(p->ids);
    hy_free(p->labels);
}

/* ---- what is wrong ---- */

static double rms_of(const double *x, int64_t n) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += x[i] * x[i];
    }
    return sqrt(squares / (double)n);
}

/* Largest difference as a multiple of the root mean square of what is wanted, or of `floor`. */
static double error_of(const double *got, const double *want, int64_t n, double floor) {
    const double size = fmax(rms_of(want, n), floor);
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs(got[i] - want[i]);
        most = !isfinite(off) ? (double)INFINITY : fmax(most, off);
    }
    return most > 0 ? most / size : 0;
}

static double error_of_outputs(const conform_want *want, const pass *p) {
    double most = 0;
    for (int64_t t = 0; t < p->layout->T; t++) {
        most = fmax(most, error_of(p->got + t * CONFORM_TOKENS, want->logits + p->layout->pos[t] * CONFORM_TOKENS,
                                   CONFORM_TOKENS, 0));
    }
    return most;
}

/* Rows of the embedding: of tokens that are there one after the other; of others zeros. */
static double error_of_inputs(const hy_param *embedding, const conform_want *want, const pass *p) {
    const int64_t cols = embedding->shape[1];
    double most = 0;
    for (int64_t id = 0; id < embedding->shape[0]; id++) {
        const int64_t at = embedding->offset + id * cols;
        most = fmax(most, error_of(p->got_grads + at, want->grads + at, cols, 0));
    }
    return most;
}

static void compare_gradients(const conform_want *want, const pass *p, conform_errors *errors) {
    int64_t count;
    const hy_param *params = hy_model_params(want->model, &count);
    const double floor = 1e-3 * rms_of(want->grads, hy_model_flat_size(want->model));
    errors->parameter[0] = '\0';
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(params[i].name, "model.embeddings.weight") == 0) {
            errors->of[CONFORM_INPUT] = error_of_inputs(&params[i], want, p);
            continue;
        }
        const double error =
            error_of(p->got_grads + params[i].offset, want->grads + params[i].offset, params[i].size, floor);
        if (error > errors->of[CONFORM_PARAMETER]) {
            errors->of[CONFORM_PARAMETER] = error;
            (void)snprintf(errors->parameter, sizeof errors->parameter, "%.63s", params[i].name);
        }
    }
}

hy_status conform_run(hy_comm *world, conform_place *place, const conform_want *want, const conform_method *method,
                      conform_errors *errors) {
    *errors = (conform_errors){.of = {0}};
    HY_TRY(open_place(world, place, method->dtype));
    pass p = {.world = world, .device = place->devices[method->dtype]};
    const hy_status status = hy_comm_agree(world, begin_pass(want, method, place->bound[method->dtype], &p));
    if (status == HY_OK) {
        run_pass(want, method, &p);
        errors->of[CONFORM_OUTPUT] = error_of_outputs(want, &p);
        compare_gradients(want, &p, errors);
        hy_req req;
        hy_comm_all_reduce(world, "errors", errors->of, CONFORM_WHATS, HY_TYPE_F64, HY_MAX, &req);
        hy_comm_wait(&req);
    }
    end_pass(&p);
    return status;
}
