/* ranks: 1 2 3 4 */
/* Runs with train.carry_state on documents longer than a sequence: stopped after every step and resumed equals uninterrupted, bit for bit; groups and
 * micro-steps, and another number of ranks from a checkpoint on, equal it nearly; without what is carried it is another run. */
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

enum { STEPS = 5, TEXT_MAX = 2048 };

static const char yaml[] =
    "model:\n"
    "  layers: 2\n"
    "  width: 16\n"
    "  vocab: 64\n"
    "  mlp: {width: 24}\n"
    "  schedule: {pattern: [gated_deltanet, gla]}\n"
    "  mixers:\n"
    "    gated_deltanet: {heads: 2, head_dim: 8}\n"
    "    gla: {heads: 2}\n"
    "data: {store: %s/s.h5, sequence: 33, batch: 4}\n"
    "train: {steps: 5, lr: 1e-2, warmup: 2, accumulate: %d, carry_state: %s, checkpoint: {every: 1, keep: 99}}\n"
    "parallel: {data: %d}\n"
    "run: {dir: %s/%s, device: cpu_ref}\n";

/* Long ones: 100 to 300 tokens. */
static int64_t long_document(int64_t d, int32_t *tokens, uint8_t *answers) {
    const int64_t n = 100 + (int64_t)(hy_random_u64(1, (uint64_t)d, 0) % 200);
    (void)answers;
    for (int64_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)((d + i * (1 + d % 5)) % 64);
    }
    return n;
}

static hy_status make_store(void) {
    return hy_test_make_store("s", 64, long_document, 0, 5, 0);
}

static hy_status parse(const char *name, int accumulate, int groups, bool carry, hy_config *config) {
    char text[TEXT_MAX];
    snprintf(text, sizeof text, yaml, folder, accumulate, carry ? "true" : "false", groups, folder, name);
    HY_TRY(hy_config_parse(name, text, strlen(text), config));
    hy_test_set_device(config);
    return HY_OK;
}

/* A run of a step each time. */
static hy_status train_step_by_step(hy_comm *world, const hy_config *config, int steps) {
    hy_status status = HY_STOPPED;
    for (int i = 0; status == HY_STOPPED && i < steps; i++) {
        hy_config limited = *config;
        limited.train.time_limit = 1e-9;
        status = hy_train(&limited, world);
    }
    return status;
}

typedef struct bench {
    hy_comm *world, *self;
    hy_model *model;
    float *base, *other;
    int64_t n;
} bench;

static hy_status compare(bench *b, const hy_config *config, const char *what, double *off) {
    uint64_t content = 0;
    HY_TRY(hy_test_final_params(b->world, config, STEPS, b->model, b->other, &content));
    *off = hy_test_difference(b->base, b->other, b->n);
    CHECK(*off < 1e-5, "%s: parameters differ by %g", what, *off);
    return HY_OK;
}

static hy_status check_runs(bench *b) {
    static hy_config config;
    uint64_t content = 0, stopped = 0;
    double off = 0;
    HY_TRY(parse("a", 1, 1, true, &config));
    HY_TRY(hy_train(&config, b->world));
    HY_TRY(hy_test_final_params(b->world, &config, STEPS, b->model, b->base, &content));

    HY_TRY(parse("stopped", 1, 1, true, &config));
    HY_TRY(train_step_by_step(b->world, &config, STEPS));
    HY_TRY(hy_test_final_params(b->world, &config, STEPS, b->model, b->other, &stopped));
    CHECK(content == stopped, "resumed: parameters differ by %g", hy_test_difference(b->base, b->other, b->n));

    HY_TRY(parse("groups", 2, hy_comm_size(b->world) % 2 == 0 ? 2 : 1, true, &config));
    HY_TRY(hy_train(&config, b->world));
    HY_TRY(compare(b, &config, "groups and micro-steps", &off));

    HY_TRY(parse("fewer", 2, 1, true, &config));
    const hy_status begun = train_step_by_step(b->world, &config, 2);
    CHECK(begun == HY_STOPPED, "two steps: %d", (int)begun);
    HY_TRY(parse("fewer", 4, 1, true, &config));
    HY_TRY(hy_comm_agree(b->world, hy_comm_rank(b->world) == 0 ? hy_train(&config, b->self) : HY_OK));
    return compare(b, &config, "resumed on one rank", &off);
}

/* The states make a difference: a step that loses them ends elsewhere. */
static hy_status check_loss_shows(bench *b) {
    static hy_config config;
    uint64_t content = 0;
    HY_TRY(parse("lost", 1, 1, true, &config));
    const hy_status begun = train_step_by_step(b->world, &config, 2);
    CHECK(begun == HY_STOPPED, "two steps: %d", (int)begun);
    hy_checkpoint checkpoint;
    HY_TRY(hy_checkpoint_open(config.run.dir, b->world, NULL, &checkpoint));
    hy_manifest *m = &checkpoint.manifest;
    int64_t files = 0;
    for (int64_t i = 0; i < m->n_files; i++) {
        files += strncmp(m->files[i].name, "carried-", 8) == 0;
    }
    CHECK(files == 1, "%lld files of what is carried", (long long)files);
    m->n_files -= files; /* they are the last */
    HY_TRY(hy_comm_agree(b->world, hy_comm_rank(b->world) == 0 ? hy_manifest_write(m, checkpoint.path) : HY_OK));
    m->n_files += files;
    hy_checkpoint_close(&checkpoint);
    HY_TRY(hy_train(&config, b->world));
    HY_TRY(hy_test_final_params(b->world, &config, STEPS, b->model, b->other, &content));
    CHECK(hy_test_difference(b->base, b->other, b->n) > 1e-3, "lost states make no difference: %g",
          hy_test_difference(b->base, b->other, b->n));
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    static hy_config config;
    bench b = {.world = world};
    HY_TRY(parse("a", 1, 1, true, &config));
    HY_TRY(hy_comm_self_create(&b.self));
    HY_TRY(hy_model_create(&config.model, hy_comm_size(world), &b.model));
    b.n = hy_model_flat_size(b.model);
    HY_TRY(HY_NEW("a", b.n, &b.base));
    HY_TRY(HY_NEW("b", b.n, &b.other));
    HY_TRY(check_runs(&b));
    HY_TRY(check_loss_shows(&b));
    hy_comm_destroy(b.self);
    hy_model_destroy(b.model);
    hy_free(b.base);
    hy_free(b.other);
    return HY_OK;
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "carry_run", 1, make_store, run);
}
