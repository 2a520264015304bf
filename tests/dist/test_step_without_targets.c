/* ranks: 1 2 3 */
/* Steps in which no target counts change nothing, neither parameters nor moments nor the number of updates, do not end a run as bad ones,
 * and are counted. Every other sequence of the store marks an answer. */
#include <string.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/file.h"
#include "tests/dist/run_test.h"
#include "train/checkpoint/checkpoint.h"
#include "train/data/store_order.h"
#include "train/run/train_loop.h"

enum { STEPS = 8, LEN = 12 };

static const char yaml[] =
    "model:\n"
    "  layers: 2\n"
    "  width: 16\n"
    "  vocab: 16\n"
    "  mlp: {width: 24}\n"
    "  schedule: {pattern: [gated_deltanet, attention]}\n"
    "  mixers:\n"
    "    gated_deltanet: {heads: 2, head_dim: 8}\n"
    "    attention: {heads: 2}\n"
    "data: {store: %s/s.h5, sequence: 12, batch: 1, loss: answers}\n"
    "train: {steps: 8, lr: 1e-2, warmup: 1, max_bad_steps: 1, checkpoint: {every: 1, keep: 99}}\n"
    "run: {dir: %s/run, device: cpu_ref}\n";

static bool counts(int64_t sequence) {
    return sequence % 2 == 0;
}

static int64_t document(int64_t d, int32_t *tokens, uint8_t *answers) {
    answers[7] = counts(d);
    for (int i = 0; i < LEN; i++) {
        tokens[i] = (int32_t)((d * 3 + i * 5) % 16);
    }
    return LEN;
}

static hy_status make_store(void) {
    return hy_test_make_store("s", 16, document, 0, STEPS, 1);
}

/* Hash of all parameters and moments after `step`. */
static hy_status state_after(hy_comm *world, int64_t step, uint64_t *content, int64_t *updates, int64_t *empty) {
    char path[160];
    hy_checkpoint checkpoint;
    snprintf(path, sizeof path, "%s/run/checkpoints/step-%lld", folder, (long long)step);
    HY_TRY(hy_checkpoint_open(path, world, NULL, &checkpoint));
    *content = 0;
    for (int64_t f = 0; f < checkpoint.manifest.n_files; f++)
        *content = *content * 31 + checkpoint.manifest.files[f].content;
    *updates = checkpoint.manifest.progress.updates;
    *empty = checkpoint.manifest.progress.empty;
    CHECK(checkpoint.manifest.progress.skipped == 0, "%lld bad steps", (long long)checkpoint.manifest.progress.skipped);
    hy_checkpoint_close(&checkpoint);
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    static hy_config config;
    char text[1024];
    uint64_t before = 0;
    int64_t updates = 0, expected = 0, empty = 0;
    hy_store_position position = {0};
    snprintf(text, sizeof text, yaml, folder, folder);
    HY_TRY(hy_config_parse("test", text, strlen(text), &config));
    hy_test_set_device(&config);
    HY_TRY(hy_train(&config, world));
    const hy_store_order order = {.seed = (uint64_t)config.train.seed, .tokens = STEPS * LEN, .block = LEN};
    for (int64_t step = 1; step <= STEPS; step++) {
        const bool trained = counts(hy_store_order_next(&order, LEN, &position) / LEN);
        uint64_t content = 0;
        expected += trained;
        HY_TRY(state_after(world, step, &content, &updates, &empty));
        CHECK(updates == expected && empty == step - expected, "step %lld: %lld updates, %lld empty", (long long)step,
              (long long)updates, (long long)empty);
        CHECK(step == 1 || (content != before) == trained, "step %lld: %s", (long long)step,
              trained ? "nothing changed" : "something changed");
        before = content;
    }
    return HY_OK;
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "step_without_targets", STEPS, make_store, run);
}
