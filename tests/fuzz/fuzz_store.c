/* A token store of any content behind a seal that fits it (a recipe, h5_recipe.h): refused, or read through without harm. */
#include <limits.h>

#include "base/memory.h"
#include "fuzz.h"
#include "h5_recipe.h"
#include "train/data/file_hash.h"
#include "train/data/token_store.h"

static void write_store(const uint8_t *data, size_t size) {
    recipe r;
    recipe_open(&r, "store.h5", data, size);
    const int64_t documents = 1 + recipe_choose(&r, 5), vocab = recipe_choose(&r, 2) ? 300 : 16;
    int64_t offsets[6] = {0}, tokens[64];
    for (int64_t d = 0; d < documents; d++) {
        offsets[d + 1] = offsets[d] + 1 + recipe_choose(&r, 9);
    }
    for (int64_t t = 0; t < offsets[documents]; t++) {
        tokens[t] = t % 16;
    }
    const int64_t n = offsets[documents], n_offsets = documents + 1;
    recipe_dataset(&r, "tokens", vocab > 256 ? H5T_STD_U16LE : H5T_STD_U8LE, 1, &n, tokens);
    recipe_dataset(&r, "documents", H5T_STD_I64LE, 1, &n_offsets, offsets);
    if (recipe_choose(&r, 2)) {
        for (int64_t t = 0; t < n; t++) {
            tokens[t] = t % 2;
        }
        recipe_dataset(&r, "answers", H5T_STD_U8LE, 1, &n, tokens);
    }
    recipe_number(&r, "vocab", (double)vocab);
    recipe_text(&r, "tokenizer", "bytes");
    recipe_text(&r, "format", HY_TOKEN_STORE_FORMAT);
    recipe_close(&r);
}

static void read_all(const char *path, const hy_store_summary *summary) {
    enum { BLOCK = 4096 };
    static int32_t tokens[BLOCK];
    static uint8_t answers[BLOCK];
    static int64_t offsets[BLOCK];
    hy_token_store *store = NULL;
    int64_t n = 0;
    FUZZ_NEED(hy_token_store_open(path, &store) == HY_OK);
    FUZZ_NEED(summary->tokens == hy_token_store_tokens(store) && summary->documents <= summary->tokens);
    for (int64_t at = 0; at < summary->tokens; at += BLOCK) {
        const int64_t left = summary->tokens - at, count = left < BLOCK ? left : BLOCK;
        FUZZ_REFUSED(hy_token_store_read(store, at, count, tokens), HY_ERR_DATA);
        FUZZ_REFUSED(hy_token_store_boundaries(store, at, at + count - 1, BLOCK, offsets, &n), HY_ERR_DATA);
        if (hy_token_store_has_answers(store)) {
            FUZZ_REFUSED(hy_token_store_read_answers(store, at, count, answers), HY_ERR_DATA);
        }
    }
    hy_token_store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[PATH_MAX], digits[17], seal[64];
    hy_store_summary summary = {0};
    hy_file_hash hash;
    snprintf(path, sizeof path, "%s/store.h5", fuzz_folder());
    write_store(data, size);
    FUZZ_NEED(hy_file_hash_compute(path, HY_ERR_DATA, &hash) == HY_OK);
    hy_hash_format(hash.xxh3, digits);
    fuzz_write("store.h5.xxh3", seal, (size_t)snprintf(seal, sizeof seal, "%lld %s\n", (long long)hash.size, digits));
    const int64_t bytes = hy_alloc_bytes();
    const hy_status status = hy_token_store_check(path, 8, &summary);
    FUZZ_REFUSED(status, HY_ERR_DATA);
    if (status == HY_OK) {
        read_all(path, &summary);
    }
    FUZZ_NEED(hy_alloc_bytes() == bytes);
    return 0;
}
