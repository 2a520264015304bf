/* For distributed tests that train: a folder of their own, which rank 0 fills with stores and all ranks know, and what a run left in it. */
#ifndef HY_TESTS_RUN_TEST_H
#define HY_TESTS_RUN_TEST_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "tests/dist/dist.h"
#include "train/data/token_store.h"
#include "train/run/config.h"

static char folder[64];

static inline void hy_test_set_device(hy_config *config) {
    const char *device = hy_test_device(NULL);
    if (device != NULL) {
        (void)snprintf(config->run.device, sizeof config->run.device, "%s", device);
    }
    config->parallel.transport = hy_test_transport();
}

/* Document number d of a store: its tokens, and which of them are answers (all 0 before). Returns how many they are. */
enum { HY_TEST_DOCUMENT_MAX = 300 };
typedef int64_t hy_test_document(int64_t d, int32_t *tokens, uint8_t *answers);

/* Below 64, of 1 to 150 tokens, with regular steps of a width that differs between neighbours. */
static inline int64_t hy_test_any_document(int64_t d, int32_t *tokens, uint8_t *answers) {
    const int64_t n = 1 + (int64_t)(hy_random_u64(1, (uint64_t)d, 0) % 150);
    (void)answers;
    for (int64_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)((d + i * (1 + d % 5)) % 64);
    }
    return n;
}

/* The store <folder>/<name>.h5 of n documents from number `first` on, with their answers if asked for. */
static inline hy_status hy_test_make_store(const char *name, int64_t vocab, hy_test_document *document, int64_t first,
                                           int64_t n, int with_answers) {
    char path[128];
    int32_t tokens[HY_TEST_DOCUMENT_MAX];
    hy_token_writer *writer = NULL;
    (void)snprintf(path, sizeof path, "%s/%s.h5", folder, name);
    HY_TRY(hy_token_writer_create(path, vocab, "test", &writer));
    for (int64_t d = first; d < first + n; d++) {
        uint8_t answers[HY_TEST_DOCUMENT_MAX] = {0};
        const int64_t length = document(d, tokens, answers);
        HY_TRY(hy_token_writer_append(writer, tokens, length));
        if (with_answers) {
            HY_TRY(hy_token_writer_append_answers(writer, answers, length));
        }
        HY_TRY(hy_token_writer_end_document(writer));
    }
    HY_TRY(hy_token_writer_finish(writer));
    hy_token_writer_destroy(writer);
    return HY_OK;
}

/* A test's main: `fill` on rank 0, then `run` on all; the folder is gone in the end. */
static inline int hy_test_in_folder(int argc, char **argv, const char *name, int64_t cases, hy_status (*fill)(void),
                                    hy_status (*run)(hy_comm *)) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    hy_req req = {0};
    hy_status status = HY_OK;
    (void)snprintf(folder, sizeof folder, "/tmp/hylas_%s_XXXXXX", name);
    if (hy_comm_rank(world) == 0) {
        status = mkdtemp(folder) == NULL ? HY_ERR_ENV : fill();
    }
    hy_comm_broadcast(world, "folder", folder, sizeof folder, 0, &req);
    hy_comm_wait(&req);
    status = hy_comm_agree(world, status);
    if (status == HY_OK) {
        status = run(world);
    }
    CHECK(status == HY_OK, "status %s", hy_status_name(status));
    if (hy_comm_rank(world) == 0) {
        CHECK(hy_file_remove_tree(folder, HY_ERR_FAILED) == HY_OK, "%s is left", folder);
    }
    return hy_test_finish(world, name, cases);
}

/* How often `part` stands in the run's metrics; −1 if they cannot be read. */
static inline int64_t count_lines(const hy_config *config, const char *part) {
    char path[640], *text = NULL;
    size_t n = 0;
    int64_t count = 0;
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", config->run.dir);
    if (hy_file_read(path, 1 << 20, HY_ERR_FAILED, &text, &n) != HY_OK) {
        return -1;
    }
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    hy_free(text);
    return count;
}

#endif
