/* ranks: 1 3 */
/* What a run reads, by its checkpoints and by the sequences themselves: a batch changed on resume goes on where the data
 * were left; a run in stages is the same runs done by hand, bit for bit, also when stopped after every step, and reads
 * the same on one rank; several stores and validation stores; checkpoints without a record. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/dist/run_test.h"
#include "train/checkpoint/checkpoint.h"
#include "train/data/token_store.h"
#include "train/run/data_resume.h"
#include "train/run/train_loop.h"
#include "train/run/train_step.h"

enum { S = 32, TEXT_MAX = 2048 };

static const char model_yaml[] = "model:\n"
                                 "  layers: 2\n"
                                 "  width: 16\n"
                                 "  vocab: 64\n"
                                 "  mlp: {width: 24}\n"
                                 "  schedule: {pattern: [gated_deltanet, attention]}\n"
                                 "  mixers:\n"
                                 "    gated_deltanet: {heads: 2, head_dim: 8}\n"
                                 "    attention: {heads: 2, kv_heads: 1}\n";

/* The model, the stores, then `rest` ("data.batch=4" and the like, NULL at the end). */
static hy_status configure(const char *name, const char *const *rest, hy_config *config) {
    char text[TEXT_MAX], store[128], dir[128];
    const char *sets[24] = {store,
                            dir,
                            "run.device=cpu_ref",
                            "train.lr=1e-2",
                            "train.warmup=0",
                            "train.schedule=constant",
                            "train.checkpoint.keep=9"};
    int n = 7;
    snprintf(text, sizeof text, "%s", model_yaml);
    snprintf(store, sizeof store, "data.store=%s/a.h5", folder);
    snprintf(dir, sizeof dir, "run.dir=%s/%s", folder, name);
    while (*rest != NULL) {
        sets[n++] = *rest++;
    }
    HY_TRY(hy_config_parse_with(name, text, strlen(text), sets, n, config));
    hy_test_set_device(config);
    return HY_OK;
}
#define SETS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What the run's newest checkpoint holds: parameters and optimizer state by hash, and what was read. */
typedef struct ending {
    int64_t step;
    uint64_t content;
    hy_data_state data;
    float *params;
} ending;

static hy_status find_ending(hy_comm *comm, const hy_config *config, ending *out) {
    hy_checkpoint checkpoint;
    hy_model *model = NULL;
    HY_TRY(hy_checkpoint_open(config->run.dir, comm, NULL, &checkpoint));
    CHECK(checkpoint.manifest.progress.data.n_stores > 0, "no record of what was read");
    out->step = checkpoint.manifest.progress.step;
    out->data = checkpoint.manifest.progress.data;
    out->content = 0;
    for (int64_t f = 0; f < checkpoint.manifest.n_files; f++) {
        out->content = out->content * 31 + checkpoint.manifest.files[f].content;
    }
    HY_TRY(hy_model_create(&config->model, hy_comm_size(comm), &model));
    HY_TRY(HY_NEW("params", hy_model_flat_size(model), &out->params));
    const hy_status status =
        hy_checkpoint_read(&checkpoint, model, comm, &(hy_checkpoint_target){.dtype = HY_F32, .params = out->params});
    hy_model_destroy(model);
    hy_checkpoint_close(&checkpoint);
    return status;
}

static void check_same(const ending *a, const ending *b, const char *what) {
    CHECK(a->step == b->step, "%s: steps %lld and %lld", what, (long long)a->step, (long long)b->step);
    CHECK(a->content == b->content, "%s: parameters or state differ", what);
    CHECK(memcmp(&a->data, &b->data, sizeof a->data) == 0, "%s: what was read differs", what);
}

/* The first token of each of the store's next n sequences, by the definition of the order. */
static void expect_begins(hy_comm *world, const hy_trainer *trainer, int64_t skip, int64_t n, const char *what) {
    const hy_store_order order = {.seed = 1, .tokens = hy_token_store_tokens(trainer->stores.train[0].store)};
    hy_store_position p = {0};
    for (int64_t i = 0; i < skip; i++) {
        (void)hy_store_order_next(&order, S, &p);
    }
    CHECK(trainer->train.split.count == n, "%s: %lld sequences", what, (long long)trainer->train.split.count);
    for (int64_t i = 0; i < n; i++) {
        const int64_t begin = hy_store_order_next(&order, S, &p);
        CHECK(trainer->train.sequences[i].begin == begin, "%s, rank %d: sequence %lld begins at %lld, not %lld", what,
              hy_comm_rank(world), (long long)i, (long long)trainer->train.sequences[i].begin, (long long)begin);
    }
}

/* Goes on with what a stage would change. */
static hy_status train_changed(const hy_config *config, hy_comm *world) {
    const char *keys[] = {"data.sequence,data.batch,data.store", "train.lr,model.mixers.attention.rope_base"};
    const hy_allowed_changes allowed = {.keys = keys, .n = 2};
    return hy_train_with(config, &(hy_train_options){.allowed = &allowed}, world);
}

/* Steps of one batch, then of another. */
static hy_status change_batch(hy_comm *world, int before, int after) {
    static hy_config config;
    char name[32], first[32], second[32];
    ending end = {0};
    hy_checkpoint checkpoint;
    hy_trainer *trainer = NULL;
    hy_step_result result;
    snprintf(name, sizeof name, "batch%d", before);
    snprintf(first, sizeof first, "data.batch=%d", before);
    snprintf(second, sizeof second, "data.batch=%d", after);
    HY_TRY(configure(name, SETS("data.sequence=32", first, "train.steps=3"), &config));
    HY_TRY(hy_train(&config, world));
    HY_TRY(configure(name, SETS("data.sequence=32", second, "train.steps=5", "train.accumulate=2"), &config));

    HY_TRY(hy_checkpoint_open(config.run.dir, world, NULL, &checkpoint));
    HY_TRY(hy_trainer_create(&config, true, world, &trainer));
    HY_TRY(hy_data_resume(&checkpoint.manifest, trainer));
    HY_TRY(hy_train_step(trainer, 4, 4, false, &result));
    expect_begins(world, trainer, 3 * before, after, name);
    hy_trainer_destroy(trainer);
    hy_checkpoint_close(&checkpoint);

    HY_TRY(train_changed(&config, world));
    HY_TRY(find_ending(world, &config, &end));
    const int64_t sequences = 3 * before + 2 * after;
    CHECK(end.data.sequences == sequences && end.data.tokens == sequences * S && end.data.n_stores == 1,
          "batch %d, then %d: %lld sequences, %lld tokens", before, after, (long long)end.data.sequences,
          (long long)end.data.tokens);
    CHECK(end.data.stores[0].position.read == sequences * S, "read %lld", (long long)end.data.stores[0].position.read);
    hy_free(end.params);
    return HY_OK;
}

/* The other way, without checkpoints. */
static hy_status shrink_batch(hy_comm *world) {
    static hy_config config;
    hy_manifest manifest = {.progress = {.step = 3}};
    hy_trainer *trainer = NULL;
    hy_step_result result;
    HY_TRY(configure("shrink", SETS("data.sequence=32", "data.batch=8"), &config));
    HY_TRY(hy_trainer_create(&config, true, world, &trainer));
    for (int64_t step = 1; step <= 3; step++) {
        HY_TRY(hy_train_step(trainer, step, step, false, &result));
    }
    manifest.progress.data = trainer->data;
    hy_trainer_destroy(trainer);
    HY_TRY(configure("shrink", SETS("data.sequence=32", "data.batch=3"), &config));
    HY_TRY(hy_trainer_create(&config, true, world, &trainer));
    HY_TRY(hy_data_resume(&manifest, trainer));
    HY_TRY(hy_train_step(trainer, 4, 4, false, &result));
    expect_begins(world, trainer, 24, 3, "a smaller batch");
    hy_trainer_destroy(trainer);
    return HY_OK;
}

/* 3 steps of 4 × 32 tokens of a; 2 of 2 × 96 of a and b with another base and rate; 2 of 3 × 61 of b. */
static const char stages[] = "train.stages=[{steps: 3, sequence: 32, batch: 4}, {steps: 2, sequence: 96, batch: 2, "
                             "store: [%s/a.h5, {path: %s/b.h5, weight: 2}], rope_base: 5e4, lr: 2e-2, warmup: 0}, "
                             "{steps: 2, sequence: 61, batch: 3, accumulate: 3, store: %s/b.h5}]";

static hy_status configure_stages(const char *name, hy_config *config) {
    char text[512], eval[256];
    snprintf(text, sizeof text, stages, folder, folder, folder);
    snprintf(eval, sizeof eval, "data.eval_store=[%s/a.h5, {path: %s/b.h5, name: other}]", folder, folder);
    return configure(name, SETS("data.block=96", text, eval, "train.eval.every=3"), config);
}

static hy_status train_by_hand(hy_comm *world, hy_config *config) {
    char store[3][256];
    snprintf(store[0], sizeof store[0], "data.store=%s/a.h5", folder);
    snprintf(store[1], sizeof store[1], "data.store=[%s/a.h5, {path: %s/b.h5, weight: 2}]", folder, folder);
    snprintf(store[2], sizeof store[2], "data.store=%s/b.h5", folder);
    HY_TRY(configure("hand", SETS("data.block=96", "train.steps=3", "data.sequence=32", "data.batch=4"), config));
    HY_TRY(hy_train(config, world));
    HY_TRY(configure("hand",
                     SETS("data.block=96", "train.steps=5", "data.sequence=96", "data.batch=2", store[1],
                          "model.mixers.attention.rope_base=5e4", "train.lr=2e-2"),
                     config));
    HY_TRY(train_changed(config, world));
    HY_TRY(configure(
        "hand",
        SETS("data.block=96", "train.steps=7", "data.sequence=61", "data.batch=3", "train.accumulate=3", store[2]),
        config));
    return train_changed(config, world);
}

static hy_status run_in_stages(hy_comm *world) {
    static hy_config config;
    static ending staged, hand, stopped, alone;
    hy_comm *self = NULL;
    HY_TRY(configure_stages("staged", &config));
    CHECK(config.train.steps == 7, "%lld steps", (long long)config.train.steps);
    HY_TRY(hy_train(&config, world));
    HY_TRY(find_ending(world, &config, &staged));
    CHECK(staged.data.tokens == 3 * 4 * 32 + 2 * 2 * 96 + 2 * 3 * 61, "%lld tokens", (long long)staged.data.tokens);
    if (hy_comm_rank(world) == 0) {
        CHECK(count_lines(&config, "\"store\": \"a\"") == 3 && count_lines(&config, "\"store\": \"other\"") == 3,
              "validations by store");
        CHECK(count_lines(&config, "\"tokens\": 384,") == 1 && count_lines(&config, "\"tokens\": 576,") == 1, "tokens");
    }
    HY_TRY(train_by_hand(world, &config));
    HY_TRY(find_ending(world, &config, &hand));
    check_same(&staged, &hand, "by hand");

    HY_TRY(configure_stages("stopped", &config));
    hy_status status = HY_STOPPED;
    int runs = 0;
    for (config.train.time_limit = 1e-9; status == HY_STOPPED && runs < 9; runs++) {
        status = hy_train(&config, world);
    }
    HY_TRY(status);
    CHECK(runs == 7, "%d runs", runs);
    HY_TRY(find_ending(world, &config, &stopped));
    check_same(&staged, &stopped, "stopped after every step");

    /* two steps on all ranks, the rest on one */
    HY_TRY(configure_stages("alone", &config));
    for (config.train.time_limit = 1e-9, runs = 0; runs < 2; runs++) {
        CHECK(hy_train(&config, world) == HY_STOPPED, "stopped");
    }
    config.train.time_limit = 0.0;
    HY_TRY(hy_comm_self_create(&self));
    HY_TRY(hy_comm_agree(world, hy_comm_rank(world) == 0 ? hy_train(&config, self) : HY_OK));
    HY_TRY(find_ending(world, &config, &alone));
    CHECK(memcmp(&staged.data, &alone.data, sizeof alone.data) == 0, "one rank reads something else");
    double off = 0.0, size = 0.0;
    hy_model *model = NULL;
    HY_TRY(hy_model_create(&config.model, hy_comm_size(world), &model));
    for (int64_t i = 0; i < hy_model_flat_size(model); i++) {
        off += pow((double)staged.params[i] - (double)alone.params[i], 2);
        size += pow((double)staged.params[i], 2);
    }
    CHECK(sqrt(off / size) < 2e-4, "one rank: %g", sqrt(off / size));
    hy_model_destroy(model);
    hy_comm_destroy(self);
    hy_free(staged.params);
    hy_free(hand.params);
    hy_free(stopped.params);
    hy_free(alone.params);
    return HY_OK;
}

/* Step 5 of batch 3, saved before checkpoints had records. */
static hy_status resume_without_record(hy_comm *world) {
    static hy_config config;
    hy_manifest manifest = {.progress = {.step = 5}};
    hy_trainer *trainer = NULL;
    hy_step_result result;
    size_t length = 0;
    HY_TRY(configure("old", SETS("data.sequence=32", "data.batch=3"), &config));
    HY_TRY(hy_config_write(&config, &manifest.config, &length));
    HY_TRY(configure("old", SETS("data.sequence=32", "data.batch=7"), &config));
    HY_TRY(hy_trainer_create(&config, true, world, &trainer));
    HY_TRY(hy_data_resume(&manifest, trainer));
    CHECK(trainer->data.tokens == 15 * S, "%lld tokens", (long long)trainer->data.tokens);
    HY_TRY(hy_train_step(trainer, 6, 6, false, &result));
    expect_begins(world, trainer, 15, 7, "without a record");
    CHECK(result.tokens_so_far == 22 * S, "%lld tokens so far", (long long)result.tokens_so_far);
    hy_trainer_destroy(trainer);
    hy_manifest_fini(&manifest);
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    HY_TRY(change_batch(world, 4, 8));
    HY_TRY(shrink_batch(world));
    HY_TRY(resume_without_record(world));
    return run_in_stages(world);
}

static hy_status make_stores(void) {
    HY_TRY(hy_test_make_store("a", 64, hy_test_any_document, 0, 40, 0));
    return hy_test_make_store("b", 64, hy_test_any_document, 40, 30, 0);
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "stages", 4, make_stores, run);
}
