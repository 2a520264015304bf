/* ranks: 1 2 3 4 */
/* Checkpoints: what is saved comes back bit for bit on the same and on every smaller number of ranks; the newest `keep` stay; a flipped
 * bit or a truncated file is found before libhdf5 sees it and the one before is used; all damaged is an error. Parts of a stopped save become one. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "dist.h"
#include "train/checkpoint/checkpoint.h"
#include "train/checkpoint/checkpoint_part.h"

/* Value of an element of a parameter (kind 0), or of its m, v: a function of the parameter and the element alone. */
static float value_of(int kind, int64_t param, int64_t element) {
    return (float)hy_random_normal((uint64_t)kind, (uint64_t)param, (uint64_t)element);
}

typedef struct state {
    hy_model *model;
    float *params, *m, *v;
} state;

static void make_state(const hy_model_config *config, hy_comm *comm, bool filled, state *s) {
    int size = hy_comm_size(comm), rank = hy_comm_rank(comm);
    CHECK(hy_model_create(config, size, &s->model) == HY_OK, "model");
    int64_t flat = hy_model_flat_size(s->model), n;
    CHECK(HY_NEW("params", flat, &s->params) == HY_OK && HY_NEW("m", flat, &s->m) == HY_OK &&
              HY_NEW("v", flat, &s->v) == HY_OK,
          "memory");
    const hy_param *params = hy_model_params(s->model, &n);
    for (int64_t i = 0; i < n && filled; i++) {
        hy_bucket_shard shard = hy_bucket_shard_of(s->model, size, rank, params[i].bucket);
        for (int64_t j = 0; j < params[i].size; j++) {
            int64_t at = params[i].offset + j;
            s->params[at] = value_of(0, i, j);
            if (at >= shard.flat && at < shard.flat + shard.n) {
                s->m[shard.state + at - shard.flat] = value_of(1, i, j);
                s->v[shard.state + at - shard.flat] = value_of(2, i, j);
            }
        }
    }
}

static void free_state(state *s) {
    hy_model_destroy(s->model);
    hy_free(s->params);
    hy_free(s->m);
    hy_free(s->v);
}

static hy_checkpoint_source source_of(const state *s, hy_comm *comm, int64_t step) {
    static const hy_attachment attachment = {"config.json", (char *)(uintptr_t) "{\"a\": 1}"};
    return (hy_checkpoint_source){.model = s->model,
                                  .world = comm,
                                  .dtype = HY_F32,
                                  .params = s->params,
                                  .m = s->m,
                                  .v = s->v,
                                  .config = "model:\n",
                                  .tokenizer = "bytes",
                                  .progress = {.step = step, .updates = step - 1, .skipped = 1},
                                  .n_attachments = 1,
                                  .attachments = &attachment};
}

static hy_status save(const state *s, hy_comm *comm, const char *folder, int64_t step, int64_t keep) {
    const hy_checkpoint_source source = source_of(s, comm, step);
    return hy_checkpoint_save(&source, folder, keep);
}

/* Opens the newest and compares it with a freshly made state on `comm`'s ranks; gives its step, −1 on failure. */
static int64_t load_and_compare(const hy_model_config *config, hy_comm *comm, const char *folder) {
    state expected, got;
    hy_checkpoint checkpoint;
    if (hy_checkpoint_open(folder, comm, NULL, &checkpoint) != HY_OK) {
        return -1;
    }
    make_state(config, comm, true, &expected);
    make_state(config, comm, false, &got);
    int64_t step = checkpoint.manifest.progress.step;
    size_t bytes = (size_t)hy_model_flat_size(got.model) * sizeof(float);
    CHECK(hy_checkpoint_read(&checkpoint, got.model, comm,
                             &(hy_checkpoint_target){.dtype = HY_F32, .params = got.params, .m = got.m, .v = got.v}) ==
              HY_OK,
          "read");
    CHECK(memcmp(got.params, expected.params, bytes) == 0, "parameters differ");
    CHECK(memcmp(got.m, expected.m, bytes) == 0 && memcmp(got.v, expected.v, bytes) == 0, "optimizer state differs");
    CHECK(checkpoint.manifest.progress.skipped == 1 && checkpoint.manifest.progress.updates == step - 1, "counters");
    CHECK(strcmp(checkpoint.manifest.tokenizer, "bytes") == 0, "tokenizer");
    const char *text = hy_checkpoint_attachment(&checkpoint, "config.json");
    CHECK(text && strcmp(text, "{\"a\": 1}") == 0, "attachment");
    hy_checkpoint_close(&checkpoint);
    free_state(&expected);
    free_state(&got);
    return step;
}

/* Rank 0 changes one byte in the middle of a file, or cuts it in half. */
static void damage(hy_comm *world, const char *folder, const char *file, bool cut) {
    char path[HY_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    if (hy_comm_rank(world) == 0) {
        FILE *f = fopen(path, "r+b");
        CHECK(f != NULL, "%s", path);
        if (f) {
            fseek(f, 0, SEEK_END);
            long middle = ftell(f) / 2;
            fseek(f, middle, SEEK_SET);
            int c = fgetc(f);
            fseek(f, middle, SEEK_SET);
            fputc(c ^ 4, f);
            CHECK(!cut || ftruncate(fileno(f), middle) == 0, "truncate");
            fclose(f);
        }
    }
    hy_comm_barrier(world);
}

static void test_damage(const hy_model_config *config, hy_comm *world, const state *s, const char *folder) {
    CHECK(save(s, world, folder, 10, 3) == HY_OK && save(s, world, folder, 20, 3) == HY_OK &&
              save(s, world, folder, 30, 3) == HY_OK,
          "save");
    CHECK(load_and_compare(config, world, folder) == 30, "newest");
    hy_log_set_level(HY_LOG_NONE);
    damage(world, folder, "step-30/rank-00000.h5", false);
    CHECK(load_and_compare(config, world, folder) == 20, "fall back from a flipped bit");
    damage(world, folder, "step-20/manifest.json", true);
    CHECK(load_and_compare(config, world, folder) == 10, "fall back from a truncated manifest");
    damage(world, folder, "step-10/rank-00000.h5", true);
    CHECK(load_and_compare(config, world, folder) == -1, "all damaged");
    hy_log_set_level(HY_LOG_INFO);
    CHECK(save(s, world, folder, 30, 3) == HY_OK && load_and_compare(config, world, folder) == 30,
          "a damaged one is replaced");
}

static void test_keep(hy_comm *world, const state *s, const char *folder) {
    for (int64_t step = 1; step <= 5; step++) {
        CHECK(save(s, world, folder, step, 2) == HY_OK, "save");
    }
    char path[HY_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/step-3", folder);
    CHECK(!hy_file_exists(path), "step-3 should be gone");
    snprintf(path, sizeof(path), "%s/step-4", folder);
    CHECK(hy_file_exists(path), "step-4 should be there");
}

static void test_other_ranks(const hy_model_config *config, hy_comm *world, const char *folder) {
    for (int ranks = 1; ranks < hy_comm_size(world); ranks++) {
        hy_comm *part = NULL;
        CHECK(hy_comm_split(world, hy_comm_rank(world) < ranks ? 0 : -1, 0, &part) == HY_OK, "split");
        if (part) {
            CHECK(load_and_compare(config, part, folder) == 5, "on %d ranks", ranks);
            hy_comm_destroy(part);
        }
        hy_comm_barrier(world);
    }
}

/* The parts of a stopped save of `step`, but for that of rank `missing`. */
static void stop(const state *s, hy_comm *world, const char *folder, int64_t step, int missing) {
    const hy_checkpoint_source source = source_of(s, world, step);
    hy_part *part = NULL;
    CHECK(hy_part_create(&source, folder, &part) == HY_OK, "part");
    (void)hy_part_announce(part, step);
    hy_comm_barrier(world);
    CHECK(!hy_part_announce(part, step), "announced twice");
    CHECK(hy_comm_rank(world) == missing || hy_part_write(part, &source.progress), "part written");
    hy_comm_barrier(world);
    CHECK(hy_part_all_there(part, step) == (missing < 0), "all there");
    hy_part_destroy(part);
    hy_comm_barrier(world);
}

/* Bytes of the head changed in turn, and the part cut at many lengths: never taken for whole. Rank 0. */
static void test_damaged_heads(const char *folder, const char *stopped, const char *file) {
    enum { HEAD = 160, SIZE_MAX_HERE = 1 << 20 };
    char path[HY_PATH_MAX + 80], checkpoint[HY_PATH_MAX], *text = NULL;
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/%s", stopped, file);
    snprintf(checkpoint, sizeof(checkpoint), "%s/step-8", folder);
    CHECK(hy_file_read(path, SIZE_MAX_HERE, HY_ERR_FAILED, &text, &n) == HY_OK, "read");
    for (size_t i = 0; i < 2 * HEAD; i += 7) {
        const bool cut = i >= HEAD;
        text[i % HEAD] ^= cut ? 0 : 16;
        CHECK(hy_file_write_atomic(path, text, cut ? (i - HEAD) * n / HEAD : n, HY_ERR_FAILED) == HY_OK, "write");
        text[i % HEAD] ^= cut ? 0 : 16;
        CHECK(hy_checkpoint_recover(folder) == HY_OK, "recover");
        CHECK(!hy_file_exists(checkpoint), "%s taken for whole with byte %zu", cut ? "cut" : "changed", i % HEAD);
    }
    CHECK(hy_file_write_atomic(path, text, n, HY_ERR_FAILED) == HY_OK, "write");
    hy_free(text);
}

/* The parts of all ranks become a checkpoint like any other; a part that is missing or damaged leaves the one before. */
static void test_stop(const hy_model_config *config, hy_comm *world, const state *s, const char *folder) {
    const int last = hy_comm_size(world) - 1;
    char stopped[HY_PATH_MAX], file[64];
    CHECK(save(s, world, folder, 5, 3) == HY_OK, "save");
    stop(s, world, folder, 7, -1);
    CHECK(load_and_compare(config, world, folder) == 7, "from parts");
    snprintf(stopped, sizeof(stopped), "%s/step-7.stop", folder);
    CHECK(!hy_file_exists(stopped), "parts are left");
    snprintf(stopped, sizeof(stopped), "%s/step-8.stop", folder);
    snprintf(file, sizeof(file), "rank-%05d.part", last);

    hy_log_set_level(HY_LOG_NONE);
    stop(s, world, folder, 8, last);
    CHECK(load_and_compare(config, world, folder) == 7, "a part is missing");
    stop(s, world, folder, 8, -1);
    damage(world, stopped, file, false);
    CHECK(load_and_compare(config, world, folder) == 7, "a part is damaged");
    stop(s, world, folder, 8, -1);
    if (hy_comm_rank(world) == 0) {
        test_damaged_heads(folder, stopped, file);
    }
    hy_comm_barrier(world);
    hy_log_set_level(HY_LOG_INFO);
    CHECK(load_and_compare(config, world, folder) == 8, "whole again");
    stop(s, world, folder, 9, last);
    CHECK(save(s, world, folder, 10, 3) == HY_OK, "save");
    snprintf(stopped, sizeof(stopped), "%s/step-9.stop", folder);
    CHECK(!hy_file_exists(stopped), "parts are left after a save");
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    hy_model_config config;
    hy_model_config_init(&config);
    config.layers = 2;
    config.width = 12;
    config.vocab = 17;
    config.mlp_width = 10;
    config.n_pattern = 2;
    strcpy(config.pattern[0], "gla");
    strcpy(config.pattern[1], "attention");
    CHECK(hy_model_config_resolve(&config) == HY_OK, "config");

    char root[64] = "/tmp/hylas-checkpoint-XXXXXX", folder[128];
    hy_req req = {0};
    CHECK(hy_comm_rank(world) != 0 || mkdtemp(root) != NULL, "mkdtemp");
    hy_comm_broadcast(world, "folder", root, sizeof(root), 0, &req);
    hy_comm_wait(&req);

    state s;
    make_state(&config, world, true, &s);
    snprintf(folder, sizeof(folder), "%s/kept", root);
    test_keep(world, &s, folder);
    test_other_ranks(&config, world, folder);
    snprintf(folder, sizeof(folder), "%s/damaged", root);
    test_damage(&config, world, &s, folder);
    snprintf(folder, sizeof(folder), "%s/stopped", root);
    test_stop(&config, world, &s, folder);
    free_state(&s);
    hy_comm_barrier(world);
    if (hy_comm_rank(world) == 0) {
        CHECK(hy_file_remove_tree(root, HY_ERR_FAILED) == HY_OK, "cleanup");
    }
    return hy_test_finish(world, "checkpoint", 4);
}
