#include "train/publish/hf_companions.h"

#include <stdio.h>

#include "base/file.h"
#include "base/memory.h"

enum { FILE_MAX_BYTES = 1 << 28 };

static const char *const names[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "generation_config.json",
};

static hy_status copy_file(const char *from, const char *to) {
    char *text = NULL;
    size_t len;
    HY_TRY(hy_file_read(from, FILE_MAX_BYTES, HY_ERR_DATA, &text, &len));
    hy_status status = hy_file_write_atomic(to, text, len, HY_ERR_DATA);
    hy_free(text);
    return status;
}

hy_status hy_hf_companions_copy(const char *from, const char *to, int64_t *n) {
    char source[HY_PATH_MAX], target[HY_PATH_MAX];
    *n = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (snprintf(source, sizeof source, "%s/%s", from, names[i]) >= (int)sizeof source ||
            snprintf(target, sizeof target, "%s/%s", to, names[i]) >= (int)sizeof target)
            return hy_fail(HY_ERR_DATA, "%s or %s: path too long", from, to);
        if (!hy_file_exists(source) || hy_file_is_dir(source))
            continue;
        HY_TRY(hy_file_make_dirs(to, HY_ERR_DATA));
        HY_TRY(copy_file(source, target));
        ++*n;
    }
    return HY_OK;
}
