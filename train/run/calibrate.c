#include "train/run/calibrate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/dry.h"
#include "train/run/method_choice.h"
#include "train/run/trainer.h"

enum {
    TOKENS = 2048,
    SHORTER = 8,
    VOCABULARY = 512,
    STEPS = 2,
    SHORT_STEPS = 8,
    SMALL = 8,
    LARGE = 1 << 20,
    SMALL_ROUNDS = 40,
    LARGE_ROUNDS = 4
};

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
    int steps;       /* to time */
} probe;

static hy_status prepare_probe(const hy_config *config, const char *device, int64_t tokens, probe *p) {
    const hy_dtype dtype = hy_config_precision(config);
    hy_sp_method method = hy_method_first(&config->parallel.method);
    method.cuts = (hy_cuts){.n = 0}; /* alone */
    const hy_run_shape shape = {
        .method = method, .sequence_size = 1, .n_seq = 1, .len = tokens, .dtype = dtype, .train = true};
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

/* A step's operations by kind: seconds, the least of a few steps. */
typedef struct measured {
    hy_timed_calls kinds[HY_RATES];
    double whole_step, returns_early; /* seconds; whether calls do */
} measured;

static void time_probe(probe *p, measured *out) {
    step_probe(p); /* memory is touched */
    out->returns_early = hy_device_is_async(p->device);
    for (int i = 0; i < p->steps; i++) {
        double now[HY_RATES] = {0};
        memset(hy_device_counts(p->device), 0, sizeof(hy_op_counts));
        const double begun = hy_now();
        step_probe(p);
        const double step = hy_now() - begun;
        out->whole_step = i == 0 || step < out->whole_step ? step : out->whole_step;
        for (int op = 0; op < HY_OP_COUNT; op++) {
            now[hy_machine_rate((hy_op_id)op)] += hy_device_counts(p->device)->seconds[op];
        }
        for (int r = 0; r < HY_RATES; r++) {
            double *least = &out->kinds[r].seconds;
            *least = i == 0 || now[r] < *least ? now[r] : *least;
        }
    }
}

typedef struct work_count {
    hy_dry_watch watch; /* first: see count_call */
    measured *sum;
} work_count;

static void count_call(hy_dry_watch *watch, hy_op_id op, double flops, double bytes) {
    const hy_rate rate = hy_machine_rate(op);
    const double work = rate == HY_RATE_MEMORY ? bytes : flops;
    hy_timed_calls *calls = &((work_count *)watch)->sum->kinds[rate];
    calls->work += work;
    calls->work_log += work > 0 ? work * log(work) : 0;
}

/* What it does in each of them. */
static void count_probe(probe *p, measured *out) {
    work_count count = {.watch.launch = count_call, .sum = out};
    hy_dry_set_watch(p->device, &count.watch);
    step_probe(p);
    hy_dry_set_watch(p->device, NULL);
}

static hy_status run_probe(const hy_config *config, const char *device, int64_t tokens,
                           void (*run)(probe *, measured *), measured *result) {
    probe *p = NULL;
    HY_TRY(HY_NEW("probe", 1, &p));
    p->steps = tokens < TOKENS / 2 ? SHORT_STEPS : STEPS;
    const hy_status status = prepare_probe(config, device, tokens, p);
    if (status == HY_OK) {
        run(p, result);
    }
    destroy_probe(p);
    hy_free(p);
    return status;
}

static double *rate_in(hy_machine *machine, hy_rate rate) {
    double *const rates[HY_RATES] = {&machine->products, &machine->attention, &machine->recurrences, &machine->memory};
    return rates[rate];
}

void hy_machine_fit(hy_rate rate, const hy_timed_calls *little, const hy_timed_calls *much, hy_machine *machine) {
    *rate_in(machine, rate) = much->work / much->seconds;
    machine->small[rate] = (hy_small_calls){.rate = 0};
    if (little->work > 0 && little->seconds > 0) {
        machine->small[rate] = (hy_small_calls){.rate = little->work / little->seconds,
                                                .little = exp(little->work_log / little->work),
                                                .much = exp(much->work_log / much->work)};
    }
}

/* A device that does not time its operations: all of them are slower than supposed by the same factor. */
static void scale_rates(const measured *m, hy_machine *out) {
    double supposed = 0;
    for (int r = 0; r < HY_RATES; r++) {
        supposed += m->kinds[r].work / *rate_in(out, (hy_rate)r);
    }
    for (int r = 0; r < HY_RATES && supposed > 0 && m->whole_step > 0; r++) {
        *rate_in(out, (hy_rate)r) *= supposed / m->whole_step;
    }
}

/* A step on so many tokens, on all ranks at once; the slowest counts. Collective. */
static hy_status measure_step(const hy_config *config, hy_comm *world, int64_t tokens, measured *out) {
    char dry[48];
    double times[HY_RATES + 2];
    hy_req req = {0};
    (void)snprintf(dry, sizeof dry, "dry:%.40s", config->run.device);
    HY_TRY(hy_comm_agree(world, run_probe(config, dry, tokens, count_probe, out)));
    hy_comm_barrier(world);
    HY_TRY(hy_comm_agree(world, run_probe(config, config->run.device, tokens, time_probe, out)));
    for (int r = 0; r < HY_RATES; r++) {
        times[r] = out->kinds[r].seconds;
    }
    times[HY_RATES] = out->whole_step;
    times[HY_RATES + 1] = out->returns_early;
    hy_comm_all_reduce(world, "rates", times, HY_RATES + 2, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    for (int r = 0; r < HY_RATES; r++) {
        out->kinds[r].seconds = times[r];
    }
    out->whole_step = times[HY_RATES];
    out->returns_early = times[HY_RATES + 1];
    return HY_OK;
}

static hy_status measure_rates(const hy_config *config, hy_comm *world, hy_machine *out) {
    const int64_t tokens = TOKENS < config->data.sequence ? TOKENS : config->data.sequence;
    measured little = {.whole_step = 0}, much = {.whole_step = 0};
    double timed = 0;
    HY_TRY(measure_step(config, world, tokens, &much));
    out->calls_progress = much.returns_early == 0.0;
    for (int r = 0; r < HY_RATES; r++) {
        timed += much.kinds[r].seconds;
    }
    if (timed == 0) {
        scale_rates(&much, out);
        return HY_OK;
    }
    HY_TRY(tokens >= SHORTER ? measure_step(config, world, tokens / SHORTER, &little) : HY_OK);
    for (int r = 0; r < HY_RATES; r++) {
        if (much.kinds[r].work > 0 && much.kinds[r].seconds > 0) {
            hy_machine_fit((hy_rate)r, &little.kinds[r], &much.kinds[r], out);
        } else { /* the model has none */
            *rate_in(out, (hy_rate)r) = out->products;
        }
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
            hy_comm_send(world, "calibration", buffer, LARGE, peer, 0, &reqs[1]);
            hy_comm_recv(world, "calibration", buffer + LARGE, LARGE, peer, 0, &reqs[0]);
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
    static const char *const names[HY_RATES] = {"products", "attention", "recurrences", "memory"};
    const double rates[HY_RATES] = {m->products, m->attention, m->recurrences, m->memory};
    size_t used = (size_t)snprintf(text, size, "node=%d,near=%.3g,near_latency=%.3g,far=%.3g,far_latency=%.3g",
                                   m->network.node, m->network.bandwidth[HY_NEAR], m->network.latency[HY_NEAR],
                                   m->network.bandwidth[HY_FAR], m->network.latency[HY_FAR]);
    for (int r = 0; r < HY_RATES && used < size; r++) {
        const hy_small_calls *small = &m->small[r];
        used += (size_t)snprintf(text + used, size - used, ",%s=%.3g", names[r], rates[r]);
        if (small->rate > 0 && used < size) {
            used += (size_t)snprintf(text + used, size - used, ",%s_small=%.3g,%s_little=%.3g,%s_much=%.3g", names[r],
                                     small->rate, names[r], small->little, names[r], small->much);
        }
    }
    if (used < size) {
        (void)snprintf(text + used, size - used, ",launch=%.3g,calls_progress=%.0f", m->launch, m->calls_progress);
    }
}
