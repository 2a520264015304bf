/* ranks: 1 2 3 4 */
/* Whole runs of a tiny model: stopped early and resumed equals uninterrupted, bit for bit; P ranks, groups and
 * micro-steps equal one rank in one go, nearly, as do ranks that weigh differently before and after a stop; nothing is trained twice. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/dist/run_result.h"
#include "tests/dist/run_test.h"
#include "train/checkpoint/checkpoint.h"
#include "train/run/train_loop.h"

enum { STEPS = 6, TEXT_MAX = 2048 };

static const char yaml[] =
    "model:\n"
    "  layers: 2\n"
    "  width: 16\n"
    "  vocab: 64\n"
    "  tied: true\n"
    "  mlp: {width: 24}\n"
    "  schedule: {pattern: [gated_deltanet, attention]}\n"
    "  mixers:\n"
    "    gated_deltanet: {heads: 2, head_dim: 8}\n"
    "    attention: {heads: 2, kv_heads: 1}\n"
    "data: {store: %s/s.h5, eval_store: %s/s.h5, sequence: 61, batch: 4}\n"
    "train: {steps: 6, lr: 1e-2, warmup: 2, accumulate: %d, checkpoint: {every: 2}, eval: {every: 4, sequences: 3}}\n"
    "parallel: {data: %d}\n"
    "run: {dir: %s/%s, device: cpu_ref}\n";

static hy_status make_store(void) {
    return hy_test_make_store("s", 64, hy_test_any_document, 0, 40, 0);
}

static hy_status parse(const char *name, int accumulate, int groups, hy_config *config) {
    char text[TEXT_MAX];
    snprintf(text, sizeof text, yaml, folder, folder, accumulate, groups, folder, name);
    HY_TRY(hy_config_parse(name, text, strlen(text), config));
    hy_test_set_device(config);
    return HY_OK;
}

/* The time limit ends the first three runs after one step each. */
static hy_status train_with_stops(hy_comm *world, const hy_config *config, int *runs) {
    hy_status status = HY_STOPPED;
    for (*runs = 0; status == HY_STOPPED && *runs < STEPS + 2; ++*runs) {
        hy_config limited = *config;
        limited.train.time_limit = *runs < 3 ? 1e-9 : 0.0;
        status = hy_train(&limited, world);
    }
    return status;
}

static hy_status run(hy_comm *world) {
    static hy_config config;
    const int size = hy_comm_size(world);
    hy_model *model = NULL;
    float *base = NULL, *other = NULL;
    uint64_t content = 0, content_stopped = 0;
    int runs = 0;
    HY_TRY(parse("a", 1, 1, &config));
    HY_TRY(hy_model_create(&config.model, size, &model));
    const int64_t n = hy_model_flat_size(model);
    HY_TRY(HY_NEW("a", n, &base));
    HY_TRY(HY_NEW("b", n, &other));

    HY_TRY(hy_train(&config, world));
    HY_TRY(hy_test_final_params(world, &config, STEPS, model, base, &content));
    if (hy_comm_rank(world) == 0) {
        CHECK(count_lines(&config, "\"loss\"") == STEPS, "%lld step lines",
              (long long)count_lines(&config, "\"loss\""));
        CHECK(count_lines(&config, "eval_loss") == 2, "%lld validations", (long long)count_lines(&config, "eval_loss"));
    }
    CHECK(hy_train(&config, world) == HY_OK, "a finished run");

    HY_TRY(parse("stopped", 1, 1, &config));
    HY_TRY(train_with_stops(world, &config, &runs));
    HY_TRY(hy_test_final_params(world, &config, STEPS, model, other, &content_stopped));
    CHECK(runs == 4, "%d runs", runs);
    CHECK(memcmp(base, other, (size_t)n * sizeof *base) == 0, "resumed parameters differ by %g",
          hy_test_difference(base, other, n));
    if (hy_comm_rank(world) == 0) {
        CHECK(count_lines(&config, "\"loss\"") == STEPS, "%lld step lines",
              (long long)count_lines(&config, "\"loss\""));
    }

    static const int accumulates[] = {2, 3, 4};
    for (int c = 0; c < 3; c++) {
        char name[16];
        const int groups = size % 2 == 0 && c < 1 ? 2 : 1;
        snprintf(name, sizeof name, "acc%d", c);
        HY_TRY(parse(name, accumulates[c], groups, &config));
        HY_TRY(hy_train(&config, world));
        HY_TRY(hy_test_final_params(world, &config, STEPS, model, other, &content));
        CHECK(hy_test_difference(base, other, n) < 2e-4, "accumulate %d, groups %d: %g", accumulates[c], groups,
              hy_test_difference(base, other, n));
    }

    HY_TRY(parse("uneven", 1, 1, &config));
    config.parallel.method.cuts = (hy_cuts){.n = size, .each = {5, 1, 2, 9}};
    config.train.time_limit = 1e-9;
    CHECK(hy_train(&config, world) == HY_STOPPED, "the first step is not all");
    config.parallel.method.cuts = (hy_cuts){.n = size, .each = {1, 3, 1, 1}};
    config.train.time_limit = 0.0;
    HY_TRY(hy_train(&config, world));
    HY_TRY(hy_test_final_params(world, &config, STEPS, model, other, &content));
    CHECK(hy_test_difference(base, other, n) < 2e-4, "resumed with other weights: %g",
          hy_test_difference(base, other, n));

    hy_comm *self = NULL;
    HY_TRY(parse("alone", 1, 1, &config));
    HY_TRY(hy_comm_self_create(&self));
    HY_TRY(hy_comm_agree(world, hy_comm_rank(world) == 0 ? hy_train(&config, self) : HY_OK));
    HY_TRY(hy_test_final_params(world, &config, STEPS, model, other, &content));
    CHECK(hy_test_difference(base, other, n) < 2e-4, "one rank: %g", hy_test_difference(base, other, n));
    hy_comm_destroy(self);
    hy_free(base);
    hy_free(other);
    hy_model_destroy(model);
    return HY_OK;
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "train_loop", 6, make_store, run);
}
