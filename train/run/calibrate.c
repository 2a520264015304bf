#include "train/run/calibrate.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/dry.h"
#include "train/run/method_choice.h"
#include "train/run/trainer.h"

enum { TOKENS = 1024, VOCABULARY = 512, STEPS = 2, SMALL = 8, LARGE = 1 << 20, SMALL_ROUNDS = 40, LARGE_ROUNDS = 4 };

/* ---- operations ---- */

/* A step of a small model on one rank, on a device that computes or on one that only counts. */
typedef struct probe {
    hy_model_config *config;
    hy_exchange_log log;
    hy_comm *alone;
    hy_device *device;
    hy_model *model;
    hy_layout *layout;
    hy_runner *runner;
    void *params, *grads;
    double *loss;
    int32_t *tokens; /* zeros; labels too */
} probe;

static hy_status prepare_probe(const hy_config *config, const char *device, probe *p) {
    const hy_dtype dtype = hy_config_precision(config);
    hy_sp_method method = hy_method_first(&config->parallel.method);
    method.cuts = (hy_cuts){.n = 0}; /* alone */
    const hy_run_shape shape = {.method = method,
                                .sequence_size = 1,
                                .n_seq = 1,
                                .len = TOKENS < config->data.sequence ? TOKENS : config->data.sequence,
                                .dtype = dtype,
                                .train = true};
    HY_TRY(HY_NEW("model of a probe", 1, &p->config));
    hy_method_small_model(&config->model, p->config);
    p->config->vocab = p->config->vocab < VOCABULARY ? p->config->vocab : VOCABULARY;
    HY_TRY(hy_comm_count_create(1, 0, &p->log, &p->alone));
    HY_TRY(hy_device_create(device, dtype, &p->device));
    HY_TRY(hy_model_create(p->config, 1, &p->model));
    const int64_t n = hy_model_flat_size(p->model);
    HY_TRY(hy_device_alloc(p->device, "parameters of a probe", (size_t)hy_model_compute_offset(p->model, dtype, n),
                           &p->params));
    HY_TRY(
        hy_device_alloc(p->device, "gradients of a probe", (size_t)n * hy_role_size(dtype, HY_ROLE_GRAD), &p->grads));
    HY_TRY(hy_device_alloc(p->device, "loss of a probe", sizeof *p->loss, (void **)&p->loss));
    HY_TRY(hy_layout_create(method.layout, 1, 0, 1, shape.len, &p->layout));
    HY_TRY(HY_NEW("tokens of a probe", shape.len, &p->tokens));
    return hy_runner_create(p->model, &shape, p->device, p->alone, p->params, p->grads, 0, &p->runner);
}

static void destroy_probe(probe *p) {
    hy_runner_destroy(p->runner);
    hy_layout_destroy(p->layout);
    hy_model_destroy(p->model);
    if (p->device != NULL) {
        hy_device_free(p->device, p->params);
        hy_device_free(p->device, p->grads);
        hy_device_free(p->device, p->loss);
    }
    hy_device_destroy(p->device);
    hy_comm_destroy(p->alone);
    hy_free(p->tokens);
    hy_free(p->config);
}

static void step_probe(probe *p) {
    const hy_batch batch = {p->layout, p->tokens, p->tokens};
    hy_runner_step(p->runner, &batch, 1.0, p->loss, NULL, NULL);
    hy_device_wait(p->device, hy_device_mark(p->device, HY_LANE_COMPUTE));
}

/* Seconds of each kind of operation in a step, the least of a few; behind them those of the whole step, and whether calls return early. */
enum { WHOLE_STEP = HY_RATES, RETURNS_EARLY, TIMES };

static void time_probe(probe *p, double *seconds) {
    step_probe(p); /* memory is touched */
    seconds[RETURNS_EARLY] = hy_device_is_async(p->device);
    for (int i = 0; i < STEPS; i++) {
        double now[HY_RATES] = {0};
        memset(hy_device_counts(p->device), 0, sizeof(hy_op_counts));
        const double begun = hy_now();
        step_probe(p);
        const double step = hy_now() - begun;
        seconds[WHOLE_STEP] = i == 0 || step < seconds[WHOLE_STEP] ? step : seconds[WHOLE_STEP];
        for (int op = 0; op < HY_OP_COUNT; op++) {
            now[hy_machine_rate((hy_op_id)op)] += hy_device_counts(p->device)->seconds[op];
        }
        for (int r = 0; r < HY_RATES; r++) {
            seconds[r] = i == 0 || now[r] < seconds[r] ? now[r] : seconds[r];
        }
    }
}

/* What it does in each of them: FLOPs; of the last kind, bytes. */
static void count_probe(probe *p, double work[HY_RATES]) {
    step_probe(p);
    const hy_dry_record *record = hy_dry_record_of(p->device);
    for (int op = 0; op < HY_OP_COUNT; op++) {
        const hy_rate rate = hy_machine_rate((hy_op_id)op);
        work[rate] += rate == HY_RATE_MEMORY ? record->ops[op].bytes : record->ops[op].flops;
    }
}

static hy_status run_probe(const hy_config *config, const char *device, void (*run)(probe *, double *),
                           double *result) {
    probe *p = NULL;
    HY_TRY(HY_NEW("probe", 1, &p));
    const hy_status status = prepare_probe(config, device, p);
    if (status == HY_OK) {
        run(p, result);
    }
    destroy_probe(p);
    hy_free(p);
    return status;
}

/* A device that does not time its operations: all of them are slower than supposed by the same factor. */
static void scale_rates(const double *work, double step, double *const rates[HY_RATES]) {
    double supposed = 0;
    for (int r = 0; r < HY_RATES; r++) {
        supposed += work[r] / *rates[r];
    }
    for (int r = 0; r < HY_RATES && supposed > 0 && step > 0; r++) {
        *rates[r] *= supposed / step;
    }
}

static hy_status measure_rates(const hy_config *config, hy_comm *world, hy_machine *out) {
    double seconds[TIMES] = {0}, work[HY_RATES] = {0}, timed = 0;
    char dry[48];
    hy_req req = {0};
    (void)snprintf(dry, sizeof dry, "dry:%.40s", config->run.device);
    HY_TRY(hy_comm_agree(world, run_probe(config, dry, count_probe, work)));
    hy_comm_barrier(world);
    HY_TRY(hy_comm_agree(world, run_probe(config, config->run.device, time_probe, seconds)));
    hy_comm_all_reduce(world, "rates", seconds, TIMES, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    out->calls_progress = seconds[RETURNS_EARLY] == 0.0;
    double *const rates[HY_RATES] = {&out->products, &out->attention, &out->recurrences, &out->memory};
    for (int r = 0; r < HY_RATES; r++) {
        timed += seconds[r];
    }
    if (timed == 0) {
        scale_rates(work, seconds[WHOLE_STEP], rates);
        return HY_OK;
    }
    for (int r = 0; r < HY_RATES; r++) { /* of what the model has none, as products */
        *rates[r] = work[r] > 0 && seconds[r] > 0 ? work[r] / seconds[r] : out->products;
    }
    return HY_OK;
}

/* ---- messages ---- */

static void pass_message(hy_comm *world, bool send, char *buffer, size_t bytes, int peer) {
    hy_req req;
    if (send) {
        hy_comm_send(world, "calibration", buffer, bytes, peer, 0, &req);
    } else {
        hy_comm_recv(world, "calibration", buffer + LARGE, bytes, peer, 0, &req);
    }
    hy_comm_wait(&req);
}

static double most_of_ranks(hy_comm *world, double value) {
    hy_req req = {0};
    hy_comm_all_reduce(world, "calibration", &value, 1, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    return value;
}

/* Seconds of a small message between this rank and `peer` (-1: none): half of there and back, one waiting for the other, so that nothing is on
 * its way before the clock runs. */
static double time_small(hy_comm *world, char *buffer, int peer) {
    const bool first = hy_comm_rank(world) < peer;
    double seconds = 0;
    hy_comm_barrier(world);
    for (int i = 0; i <= SMALL_ROUNDS && peer >= 0; i++) {
        const double begun = hy_now();
        pass_message(world, first, buffer, SMALL, peer);
        pass_message(world, !first, buffer, SMALL, peer);
        const double now = 0.5 * (hy_now() - begun);
        if (i > 0) { /* before the first the ranks are not together */
            seconds = i == 1 || now < seconds ? now : seconds;
        }
    }
    return most_of_ranks(world, seconds);
}

/* Seconds of a large message each way at once, as exchanges send them: what comes back on a link takes some of it. */
static double time_large(hy_comm *world, char *buffer, int peer) {
    double seconds = 0;
    hy_req reqs[2];
    for (int i = 0; i < LARGE_ROUNDS; i++) {
        hy_comm_barrier(world);
        const double begun = hy_now();
        if (peer >= 0) {
            hy_comm_recv(world, "calibration", buffer + LARGE, LARGE, peer, 0, &reqs[0]);
            hy_comm_send(world, "calibration", buffer, LARGE, peer, 0, &reqs[1]);
            hy_comm_wait_all(reqs, 2);
        }
        const double now = most_of_ranks(world, hy_now() - begun);
        seconds = i == 0 || now < seconds ? now : seconds;
    }
    return seconds;
}

static void measure_level(hy_comm *world, char *buffer, int peer, int level, hy_machine *out) {
    const double small = time_small(world, buffer, peer);
    const double large = time_large(world, buffer, peer);
    if (small > 0 && large > small) {
        out->network.latency[level] = small;
        out->network.bandwidth[level] = LARGE / (large - small);
    }
}

/* Pairs in a node are neighbours; between nodes, ranks of two neighbouring nodes with the same place. */
static void measure_network(hy_comm *world, char *buffer, int node, hy_machine *out) {
    const int size = hy_comm_size(world), rank = hy_comm_rank(world), place = rank % node, here = rank / node;
    const int near = (place ^ 1) < node && rank - place + (place ^ 1) < size ? rank - place + (place ^ 1) : -1;
    const int far = (here ^ 1) * node + place < size ? (here ^ 1) * node + place : -1;
    out->network.node = node;
    if (node > 1) {
        measure_level(world, buffer, near, HY_NEAR, out);
    }
    if (node < size) {
        measure_level(world, buffer, far, HY_FAR, out);
    } else {
        out->network.latency[HY_FAR] = out->network.latency[HY_NEAR];
        out->network.bandwidth[HY_FAR] = out->network.bandwidth[HY_NEAR];
    }
}

hy_status hy_machine_measure(const hy_config *config, hy_comm *world, int node, hy_machine *out) {
    char *buffer = NULL;
    HY_TRY(hy_machine_parse("flat", out));
    out->launch = 0; /* it is in the rates */
    HY_TRY(measure_rates(config, world, out));
    HY_TRY(hy_comm_agree(world, HY_NEW("messages of a calibration", 2 * LARGE, &buffer)));
    measure_network(world, buffer, node, out);
    hy_free(buffer);
    char words[sizeof out->name];
    hy_machine_write(out, words, sizeof words);
    return hy_machine_parse(words, out); /* as it will be read again */
}

void hy_machine_write(const hy_machine *m, char *text, size_t size) {
    (void)snprintf(text, size,
                   "node=%d,near=%.3g,near_latency=%.3g,far=%.3g,far_latency=%.3g,products=%.3g,attention=%.3g,"
                   "recurrences=%.3g,memory=%.3g,launch=%.3g,calls_progress=%.0f",
                   m->network.node, m->network.bandwidth[HY_NEAR], m->network.latency[HY_NEAR],
                   m->network.bandwidth[HY_FAR], m->network.latency[HY_FAR], m->products, m->attention, m->recurrences,
                   m->memory, m->launch, m->calls_progress);
}
