/* Whether a store can be trusted: its seal, or else a child that reads it through; then every document offset. */
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/data/file_hash.h"
#include "train/data/h5.h"
#include "train/data/token_store.h"

enum { BLOCK = 1 << 16 }; /* elements */

/* Scans the offsets; counts what the summary wants. */
static hy_status scan_documents(const char *path, hy_token_store *store, int64_t sequence, int64_t *block,
                                hy_store_summary *out) {
    const int64_t n_offsets = hy_token_store_documents(store) + 1;
    int64_t before = 0;
    for (int64_t first = 0; first < n_offsets; first += BLOCK) {
        const int64_t n = n_offsets - first < BLOCK ? n_offsets - first : BLOCK;
        HY_TRY(hy_token_store_offsets(store, first, n, block));
        for (int64_t i = first == 0; i < n; i++) {
            const int64_t document = first + i - 1, length = block[i] - (i > 0 ? block[i - 1] : before);
            if (length <= 0) {
                return hy_fail(HY_ERR_DATA, "%s: document %lld %s; every document needs at least one token", path,
                               (long long)document, length == 0 ? "is empty" : "ends before it begins");
            }
            out->longest = length > out->longest ? length : out->longest;
            out->longer += sequence > 0 && length > sequence;
        }
        before = block[n - 1];
    }
    return HY_OK;
}

/* Counts the answers, and finds values that are none. */
static hy_status count_answers(hy_token_store *store, uint8_t *block, int64_t *count) {
    const int64_t tokens = hy_token_store_tokens(store);
    *count = hy_token_store_has_answers(store) ? 0 : -1;
    for (int64_t begin = 0; begin < tokens && *count >= 0; begin += BLOCK) {
        const int64_t n = tokens - begin < BLOCK ? tokens - begin : BLOCK;
        HY_TRY(hy_token_store_read_answers(store, begin, n, block));
        for (int64_t i = 0; i < n; i++) {
            *count += block[i];
        }
    }
    return HY_OK;
}

static hy_status summarise(const char *path, int64_t sequence, hy_store_summary *out) {
    hy_token_store *store = NULL;
    int64_t *block = NULL;
    HY_TRY(hy_token_store_open(path, &store));
    hy_status status = HY_NEW("document offsets", BLOCK, &block);
    if (status == HY_OK) {
        out->tokens = hy_token_store_tokens(store);
        out->documents = hy_token_store_documents(store);
        out->vocab = hy_token_store_vocab(store);
        status = scan_documents(path, store, sequence, block, out);
    }
    if (status == HY_OK) {
        status = count_answers(store, (uint8_t *)block, &out->answers);
    }
    hy_free(block);
    hy_token_store_close(store);
    return status;
}

/* In the child: every offset and every token, with a new deadline for each block. */
static hy_status read_through(void *context) {
    const char *path = context;
    hy_store_summary summary = {0};
    hy_token_store *store = NULL;
    int32_t *block = NULL;
    HY_TRY(summarise(path, 0, &summary));
    HY_TRY(hy_token_store_open(path, &store));
    HY_TRY(HY_NEW("tokens", BLOCK, &block));
    for (int64_t begin = 0; begin < summary.tokens; begin += BLOCK) {
        alarm(HY_H5_PATIENCE);
        const int64_t rest = summary.tokens - begin;
        HY_TRY(hy_token_store_read(store, begin, rest < BLOCK ? rest : BLOCK, block));
    }
    return HY_OK;
}

hy_status hy_token_store_check(const char *path, int64_t sequence, hy_store_summary *out) {
    hy_store_summary summary = {0};
    if (!hy_file_exists(path)) {
        return hy_fail(HY_ERR_DATA, "%s: no such token store; make one: hylas data text PATHS... --out %s", path, path);
    }
    HY_TRY(hy_seal_verify(path, HY_ERR_DATA, &summary.sealed));
    if (!summary.sealed) {
        hy_info("%s has no seal (%s.xxh3): reading it through once in a child process", path, path);
        HY_TRY(hy_h5_try_in_child(path, HY_ERR_DATA, read_through, (void *)(uintptr_t)path));
    }
    HY_TRY(summarise(path, sequence, &summary));
    *out = summary;
    return HY_OK;
}
