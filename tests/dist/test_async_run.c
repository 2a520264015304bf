/* ranks: 1 2 3 */
/* Training steps on devices whose calls return early: the same losses and parameters as on the host, bit for bit, whatever the delays; and
 * the host waits for the device once per step, on any device. The same with what backward needs in the host's memory meanwhile, under every
 * recompute mode. */
#include <stdio.h>

#include "kernels/device.h"
#include "tests/dist/run_test.h"
#include "train/run/train_step.h"

enum { STEPS = 4, SEEDS = 3 };

static const char yaml[] = "model:\n"
                           "  layers: 4\n"
                           "  width: 16\n"
                           "  vocab: 64\n"
                           "  tied: true\n"
                           "  mlp: {width: 24}\n"
                           "  schedule: {pattern: [gated_deltanet, attention]}\n"
                           "  mixers:\n"
                           "    gated_deltanet: {heads: 2, head_dim: 8}\n"
                           "    attention: {heads: 2, kv_heads: 1}\n"
                           "data: {store: %s/s.h5, sequence: 61, batch: 4}\n"
                           "train: {steps: 4, lr: 1e-2, warmup: 2, accumulate: 2, recompute: %s, offload: %s}\n"
                           "run: {dir: %s/run, device: %s}\n";

static hy_status make_store(void) {
    return hy_test_make_store("s", 64, hy_test_any_document, 0, 40, 0);
}

typedef struct outcome {
    double loss[STEPS], norm[STEPS];
    int64_t n;
    void *params; /* n bytes */
} outcome;

static hy_status take_steps(hy_trainer *trainer, outcome *out) {
    HY_TRY(hy_parameters_init(trainer->parameters, 1, trainer->grads));
    for (int64_t step = 1; step <= STEPS; step++) {
        hy_step_result r;
        const int64_t before = hy_device_waits(trainer->device);
        HY_TRY(hy_train_step(trainer, step, step, false, &r));
        CHECK(hy_device_waits(trainer->device) - before == 1, "%s, step %lld: the host waited %lld times",
              trainer->config->run.device, (long long)step, (long long)(hy_device_waits(trainer->device) - before));
        out->loss[step - 1] = r.loss;
        out->norm[step - 1] = r.grad_norm;
    }
    hy_parameters_wait(trainer->parameters);
    out->n =
        hy_model_compute_offset(trainer->model, trainer->parameters->precision, hy_model_flat_size(trainer->model));
    HY_TRY(hy_alloc("parameters", (size_t)out->n, &out->params));
    hy_device_read(trainer->device, trainer->parameters->compute, (size_t)out->n, out->params);
    return HY_OK;
}

static hy_status train_on(hy_comm *world, const char *device, const char *recompute, const char *offload,
                          outcome *out) {
    static hy_config config;
    char text[1024];
    hy_trainer *trainer = NULL;
    snprintf(text, sizeof text, yaml, folder, recompute, offload, folder, device);
    HY_TRY(hy_config_parse(device, text, strlen(text), &config));
    HY_TRY(hy_trainer_create(&config, true, world, &trainer));
    const hy_status status = take_steps(trainer, out);
    hy_trainer_destroy(trainer);
    return status;
}

/* As `host` did. */
static hy_status compare_on(hy_comm *world, const char *device, const char *recompute, const char *offload,
                            const outcome *host) {
    outcome got = {.n = 0};
    HY_TRY(train_on(world, device, recompute, offload, &got));
    CHECK(memcmp(got.loss, host->loss, sizeof got.loss) == 0 && memcmp(got.norm, host->norm, sizeof got.norm) == 0,
          "%s, seed %s, recompute %s, offload %s: loss %.17g, on the host %.17g", device, getenv("HYLAS_ASYNC_SEED"),
          recompute, offload, got.loss[STEPS - 1], host->loss[STEPS - 1]);
    CHECK(got.n == host->n && memcmp(got.params, host->params, (size_t)host->n) == 0,
          "%s, seed %s, recompute %s, offload %s: other parameters", device, getenv("HYLAS_ASYNC_SEED"), recompute,
          offload);
    hy_free(got.params);
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    static const char *const seeds[SEEDS] = {"1", "2", "3"};
    outcome host = {.n = 0};
    HY_TRY(train_on(world, "cpu", "block", "none", &host));
    for (int i = 0; i < SEEDS; i++) {
        setenv("HYLAS_ASYNC_SEED", seeds[i], 1);
        HY_TRY(compare_on(world, "cpu", hy_recompute_names[i], "host", &host));
        HY_TRY(compare_on(world, i == 0 ? "cpu_apart" : "cpu_async", "block", "none", &host));
        HY_TRY(compare_on(world, "cpu_async", hy_recompute_names[i], "host", &host));
        HY_TRY(compare_on(world, i == 0 ? "cpu_apart" : "cpu_async", "block", "host", &host));
    }
    hy_free(host.params);
    return HY_OK;
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "async_run", 1 + 4 * SEEDS, make_store, run);
}
