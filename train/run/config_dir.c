#include "train/run/config_dir.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/run/config_diff.h"

enum { VALUE_SIZE = 512 };

/* "18gla-6attention" */
static void describe_schedule(const hy_model_config *model, char out[VALUE_SIZE]) {
    size_t used = 0;
    out[0] = '\0';
    for (int64_t l = 0; l < model->layers; l++) {
        const int mixer = (int)model->layer_mixer[l];
        int64_t count = 0, before = 0;
        for (int64_t i = 0; i < model->layers; i++) {
            count += model->layer_mixer[i] == mixer;
            before += model->layer_mixer[i] == mixer && i < l;
        }
        if (before == 0 && used < VALUE_SIZE) {
            used += (size_t)snprintf(out + used, VALUE_SIZE - used, "%s%lld%s", used > 0 ? "-" : "", (long long)count,
                                     model->mixers[mixer].name);
        }
    }
}

/* "{3: attention}" becomes "3-attention". */
static void make_file_name(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (isalnum((unsigned char)*from) || strchr("._", *from) != NULL) {
            *to++ = *from;
        } else if (to > text && to[-1] != '-') {
            *to++ = '-';
        }
    }
    while (to > text && to[-1] == '-') {
        to--;
    }
    *to = '\0';
}

static hy_status value_of_key(const hy_config *config, const char *text, const char *key, const char *origin,
                              char out[VALUE_SIZE]) {
    char nearest[256] = "";
    if (strcmp(key, "model.schedule") == 0) {
        describe_schedule(&config->model, out);
        return HY_OK;
    }
    const char *value = strcmp(key, "run.dir") != 0 ? hy_config_value(text, key) : NULL;
    if (value == NULL) {
        const bool section = hy_config_has(text, key, nearest, sizeof nearest);
        return section
                   ? hy_fail(HY_ERR_USAGE, "%s: run.dir: ${%s} is not a key with a value", origin, key)
                   : hy_fail(HY_ERR_USAGE, "%s: run.dir: unknown key in ${%s}; nearest: ${%s}", origin, key, nearest);
    }
    snprintf(out, VALUE_SIZE, "%s", value);
    make_file_name(out);
    return HY_OK;
}

static hy_status expand(const hy_config *config, const char *text, const char *origin, char *out, size_t size) {
    size_t used = 0;
    for (const char *at = config->run.dir; *at != '\0';) {
        char key[VALUE_SIZE], value[VALUE_SIZE] = {*at, '\0'};
        size_t n = 1;
        if (strncmp(at, "${", 2) == 0) {
            const char *end = strchr(at, '}');
            if (end == NULL) {
                return hy_fail(HY_ERR_USAGE, "%s: run.dir: '}' is missing after '%s'", origin, at);
            }
            snprintf(key, sizeof key, "%.*s", (int)(end - at) - 2, at + 2);
            HY_TRY(value_of_key(config, text, key, origin, value));
            n = (size_t)(end - at) + 1;
        }
        used += (size_t)snprintf(out + used, size - used, "%s", value);
        if (used >= size) {
            return hy_fail(HY_ERR_USAGE, "%s: run.dir: longer than %zu bytes with its ${...} replaced", origin,
                           size - 1);
        }
        at += n;
    }
    return HY_OK;
}

hy_status hy_config_expand_dir(hy_config *config, const char *origin) {
    char *text = NULL, dir[sizeof config->run.dir] = "";
    size_t length = 0;
    if (strstr(config->run.dir, "${") == NULL) {
        return HY_OK;
    }
    HY_TRY(hy_config_write(config, &text, &length));
    const hy_status status = expand(config, text, origin, dir, sizeof dir);
    hy_free(text);
    if (status == HY_OK) {
        memcpy(config->run.dir, dir, sizeof dir);
    }
    return status;
}
