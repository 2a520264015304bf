/* ranks: 1 2 3 */
/* Steps whose documents have one shape give the device the same operations with the same arguments as the step before the last one (two images of
 * lists alternate), however many targets count in them; only the update's differ. So what is given one by one are only those and pieces of three
 * calls or fewer, between the exchanges of so small a model, and losses and parameters are, bit for bit, those of a run that gives all so. */
#include <stdio.h>

#include "kernels/device_internal.h"
#include "tests/dist/run_test.h"
#include "train/run/train_step.h"

enum { STEPS = 9, SETTLED = 6, CALLS_MAX = 1 << 14, SEQUENCE = 60, DOCUMENT = 30 };

static const char yaml[] = "model:\n"
                           "  layers: 4\n"
                           "  width: 16\n"
                           "  vocab: 64\n"
                           "  mlp: {width: 24}\n"
                           "  schedule: {pattern: [gated_deltanet, attention]}\n"
                           "  mixers:\n"
                           "    gated_deltanet: {heads: 2, head_dim: 8}\n"
                           "    attention: {heads: 2, kv_heads: 1}\n"
                           "data: {store: %s/s.h5, sequence: 60, batch: 4, loss: answers}\n"
                           "train: {steps: 9, lr: 1e-2, warmup: 2, accumulate: %d, offload: %s}\n"
                           "run: {dir: %s/run, device: %s, graph: %s}\n";

/* Two fill a sequence; how many of its tokens are answers is drawn. */
static int64_t equal_document(int64_t d, int32_t *tokens, uint8_t *answers) {
    for (int64_t i = 0; i < DOCUMENT; i++) {
        const uint64_t drawn = hy_random_u64(3, (uint64_t)d, (uint64_t)i);
        tokens[i] = (int32_t)(drawn % 64);
        answers[i] = i > 0 && (drawn >> 32) % 3 == 0;
    }
    return DOCUMENT;
}

static hy_status fill_folder(void) {
    return hy_test_make_store("s", 64, equal_document, 0, 80, 1);
}

/* ---- what a step gives ---- */

typedef struct given_call {
    hy_op_id op;
    uint64_t hash; /* of the arguments */
} given_call;

static given_call given[STEPS][CALLS_MAX];
static int64_t n_given[STEPS];
static int now;
static const hy_device_kind *watched;

static void watch_launch(hy_device *device, hy_op_id op, const void *args, size_t bytes) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ ((const unsigned char *)args)[i]) * 1099511628211u;
    }
    if (op != HY_OP_adamw && now < STEPS && n_given[now] < CALLS_MAX) {
        given[now][n_given[now]++] = (given_call){op, hash};
    }
    watched->launch(device, op, args, bytes);
}

static void compare_steps(const char *device, int a, int b) {
    CHECK(n_given[a] == n_given[b] && n_given[a] > 100 && n_given[a] < CALLS_MAX,
          "%s: %lld calls in step %d, %lld in step %d", device, (long long)n_given[a], a + 1, (long long)n_given[b],
          b + 1);
    int64_t differ = 0, first = -1;
    for (int64_t i = 0; i < n_given[a] && i < n_given[b]; i++) {
        if (given[a][i].op != given[b][i].op || given[a][i].hash != given[b][i].hash) {
            first = differ++ == 0 ? i : first;
        }
    }
    CHECK(differ == 0, "%s: %lld calls of step %d are not those of step %d; the first is number %lld, %s", device,
          (long long)differ, b + 1, a + 1, (long long)first, hy_op_name(given[b][first].op));
}

/* ---- runs ---- */

typedef struct outcome {
    double loss[STEPS], norm[STEPS];
    int64_t valid[STEPS];
    hy_piece_counts before[STEPS], after;
    int64_t n, pins;
    void *params; /* n bytes */
} outcome;

static hy_status take_steps(hy_trainer *trainer, outcome *out) {
    HY_TRY(hy_parameters_init(trainer->parameters, 1, trainer->grads));
    out->pins = hy_device_pins(trainer->device);
    for (now = 0; now < STEPS; now++) {
        hy_step_result r;
        n_given[now] = 0;
        out->before[now] = hy_device_pieces(trainer->device);
        HY_TRY(hy_train_step(trainer, now + 1, now + 1, false, &r));
        out->loss[now] = r.loss;
        out->norm[now] = r.grad_norm;
        out->valid[now] = r.valid;
    }
    hy_parameters_wait(trainer->parameters);
    out->after = hy_device_pieces(trainer->device);
    out->pins = hy_device_pins(trainer->device) - out->pins;
    out->n =
        hy_model_compute_offset(trainer->model, trainer->parameters->precision, hy_model_flat_size(trainer->model));
    HY_TRY(hy_alloc("parameters", (size_t)out->n, &out->params));
    hy_device_read(trainer->device, trainer->parameters->compute, (size_t)out->n, out->params);
    return HY_OK;
}

typedef struct run_of {
    const char *device, *offload;
    int accumulate;
} run_of;

static hy_status train_one(hy_comm *world, const run_of *of, const char *graph, bool watch, outcome *out) {
    static hy_config config;
    static hy_device_kind kind;
    char text[1024];
    hy_trainer *trainer = NULL;
    snprintf(text, sizeof text, yaml, folder, of->accumulate, of->offload, folder, of->device, graph);
    HY_TRY(hy_config_parse(of->device, text, strlen(text), &config));
    config.parallel.transport = hy_test_transport();
    HY_TRY(hy_trainer_create(&config, true, world, &trainer));
    if (watch) {
        watched = trainer->device->kind;
        kind = *watched;
        kind.launch = watch_launch;
        trainer->device->kind = &kind;
    }
    const hy_status status = take_steps(trainer, out);
    if (watch) {
        trainer->device->kind = watched;
    }
    hy_trainer_destroy(trainer);
    return status;
}

static void check_replayed(const run_of *of, const outcome *got) {
    /* The first step has no update before it, and is cut otherwise; then each image comes twice. */
    const hy_piece_counts *from = &got->before[SETTLED];
    const int64_t replayed = got->after.replayed - from->replayed, single = got->after.single - from->single;
    CHECK(from->kept > 0 && got->after.kept == from->kept, "%s: %lld pieces are kept after %d steps, %lld after %d",
          of->device, (long long)from->kept, SETTLED, (long long)got->after.kept, STEPS);
    CHECK(replayed > 4 * single, "%s: of %lld calls %lld are replayed", of->device, (long long)(replayed + single),
          (long long)replayed);
}

static hy_status compare_runs(hy_comm *world, const run_of *of) {
    outcome off = {.n = 0}, on = {.n = 0};
    HY_TRY(train_one(world, of, "off", true, &off));
    for (int step = 2; step < STEPS; step++) {
        compare_steps(of->device, step - 2, step);
        CHECK(off.valid[step] != off.valid[step - 2], "steps %d and %d have as many targets", step - 1, step + 1);
    }
    HY_TRY(train_one(world, of, "auto", false, &on));
    CHECK(off.after.replayed == 0 && off.after.kept == 0, "%s: replayed though off", of->device);
    check_replayed(of, &on);
    CHECK(on.pins == 0 && off.pins == 0, "%s: pinned memory was made %lld times in steps", of->device,
          (long long)(on.pins + off.pins));
    CHECK(memcmp(on.loss, off.loss, sizeof on.loss) == 0 && memcmp(on.norm, off.norm, sizeof on.norm) == 0,
          "%s: loss %.17g, one by one %.17g", of->device, on.loss[STEPS - 1], off.loss[STEPS - 1]);
    CHECK(on.n == off.n && memcmp(on.params, off.params, (size_t)on.n) == 0, "%s: other parameters", of->device);
    hy_free(on.params);
    hy_free(off.params);
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    HY_TRY(compare_runs(world, &(run_of){"cpu_async", "none", 1}));
    HY_TRY(compare_runs(world, &(run_of){"cpu_apart", "none", 2}));
    return compare_runs(world, &(run_of){"cpu_apart", "host", 1});
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "pieces_run", 3, fill_folder, run);
}
