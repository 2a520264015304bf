#include "train/run/config_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/data/file_hash.h"
#include "train/run/config_diff.h"

/* A name stands for itself and for everything below it but what stands before it: not free where there is no reason why. */
static const struct {
    const char *key, *why;
} free_keys[] = {
    {"run", "where the run is kept and which table of operations computes it"},
    {"parallel.prune", NULL}, /* leaves out what is not rounding */
    {"parallel", "how the work is shared: same result up to rounding"},
    {"data.eval_store", "looks at the model only"},
    {"train.steps", "the schedule of the steps to come is that of the new length"},
    {"train.accumulate", "same result up to rounding"},
    {"train.precision", "parameters and moments are float32 in either: what passes round differs"},
    {"train.recompute", "same result"},
    {"train.offload", "same result"},
    {"train.max_bad_steps", "when a run gives up"},
    {"train.checkpoint", "how often is saved"},
    {"train.eval", "how often is looked"},
    {"train.log_every", "how often is told"},
    {"train.tensorboard", "where is told"},
    {"train.time_limit", "when a run pauses"},
    {"trace", "what is written down of how the time goes"},
};
enum { N_FREE = sizeof free_keys / sizeof free_keys[0], KEY_SIZE = 256, LIST_SIZE = 3000 };

const char *hy_config_free_key(int i) {
    return i < N_FREE ? free_keys[i].key : NULL;
}

/* Whether `key` is the n bytes at `name`, or below it. */
static bool is_in(const char *key, const char *name, size_t n) {
    return n > 0 && strncmp(key, name, n) == 0 && (key[n] == '\0' || key[n] == '.');
}

/* ---- the stores ---- */

static hy_status identify(const char *path, uint64_t *hash) {
    hy_file_hash file = {0};
    int sealed = 0;
    HY_TRY(hy_seal_read(path, HY_ERR_DATA, &sealed, &file));
    if (!sealed) {
        HY_TRY(hy_file_hash_compute(path, HY_ERR_DATA, &file));
    }
    *hash = file.xxh3;
    return HY_OK;
}

/* "[hash, hash]", in the order of the list; a store that is not there: "-". One store: its hash alone. */
static hy_status identify_list(const hy_store_list *list, FILE *out) {
    fputs(list->n == 1 ? "" : "[", out);
    for (int64_t i = 0; i < list->n; i++) {
        char digits[17] = "-";
        uint64_t hash = 0;
        if (hy_file_exists(list->items[i].path)) {
            HY_TRY(identify(list->items[i].path, &hash));
            hy_hash_format(hash, digits);
        }
        fprintf(out, "%s%s", i > 0 ? ", " : "", digits);
    }
    fputs(list->n == 1 ? "" : "]", out);
    return HY_OK;
}

static hy_status identify_all(const hy_config *config, FILE *out) {
    fputs("data:\n  store: ", out);
    HY_TRY(identify_list(&config->data.store, out));
    fputs(config->train.n_stages > 0 ? "\ntrain:\n  stages:\n" : "\n", out);
    for (int64_t i = 0; i < config->train.n_stages; i++) {
        fputs("    -\n      store: ", out); /* as hy_config_write sets lists out */
        HY_TRY(identify_list(&config->train.stages[i].store, out));
        fputc('\n', out);
    }
    return HY_OK;
}

hy_status hy_store_identities(const hy_config *config, char **text) {
    char *buffer = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&buffer, &length);
    hy_status status = out != NULL ? identify_all(config, out) : HY_ERR_MEMORY;
    if ((out == NULL || fclose(out) != 0) && status != HY_ERR_DATA) {
        status = hy_fail(HY_ERR_MEMORY, "no memory for the identities of stores");
    }
    if (status == HY_OK) {
        status = HY_NEW("identities of stores", length + 1, text);
    }
    if (status == HY_OK) {
        memcpy(*text, buffer, length + 1);
    }
    free(buffer);
    return status;
}

/* ---- the comparison ---- */

typedef struct comparison {
    const hy_allowed_changes *allowed;
    bool contents; /* of stores: paths of keys say nothing about them */
    int refused;
    size_t used, keys_used;
    char list[LIST_SIZE], keys[LIST_SIZE]; /* a line each; with commas, as --allow-change wants them */
} comparison;

/* The path of a store, data.store, train.stages.2.store.0.path: its content counts. Not its weight, nor that there is one. */
static bool is_store_path(const char *key, const char *before, const char *after) {
    const char *last = strrchr(key, '.'), *store = strstr(key, ".store");
    return store != NULL && (store[6] == '\0' || store[6] == '.') && !is_in(key, "data.eval_store", 15) &&
           strcmp(last, ".weight") != 0 && strcmp(last, ".name") != 0 && strcmp(before, "absent") != 0 &&
           strcmp(after, "absent") != 0;
}

static bool is_free(const char *key) {
    for (int i = 0; i < N_FREE; i++) {
        if (is_in(key, free_keys[i].key, strlen(free_keys[i].key))) {
            return free_keys[i].why != NULL;
        }
    }
    return false;
}

typedef bool (*name_check)(const char *name, size_t n, void *context);

/* True once `check` is for one of the names allowed on the command line. */
static bool any_allowed(const hy_allowed_changes *allowed, name_check check, void *context) {
    for (int i = 0; allowed != NULL && i < allowed->n; i++) {
        for (const char *at = allowed->keys[i]; *at != '\0';) {
            const size_t n = strcspn(at, ",");
            if (check(at, n, context)) {
                return true;
            }
            at += n + (at[n] == ',');
        }
    }
    return false;
}

static bool names_key(const char *name, size_t n, void *key) {
    return is_in(key, name, n);
}

static void append_to_list(char *list, size_t *used, const char *text) {
    const int n = snprintf(list + *used, LIST_SIZE - *used, "%s", text);
    *used = *used + (size_t)n < LIST_SIZE ? *used + (size_t)n : LIST_SIZE - 1;
}

static void refuse_change(comparison *c, const char *key, const char *before, const char *after) {
    char line[KEY_SIZE + 600];
    const hy_schema_origins *origins = c->allowed != NULL ? c->allowed->origins : NULL;
    snprintf(line, sizeof line, "\n  %s: %.200s -> %.200s", key, before, after);
    append_to_list(c->list, &c->used, line);
    if (origins != NULL) {
        snprintf(line, sizeof line, "  (%s)", hy_schema_origin(origins, key));
        append_to_list(c->list, &c->used, line);
    }
    append_to_list(c->keys, &c->keys_used, c->refused > 0 ? "," : "");
    append_to_list(c->keys, &c->keys_used, key);
    c->refused++;
}

static void compare_key(void *context, const char *key, const char *before, const char *after) {
    comparison *c = context;
    const char *what = c->contents ? " (content)" : "";
    if (c->contents && (strcmp(before, "absent") == 0 || strcmp(after, "absent") == 0 || strcmp(after, "-") == 0)) {
        return; /* the configurations differ in it too, or opening it says that it is not there */
    }
    if ((!c->contents && (is_free(key) || is_store_path(key, before, after))) ||
        any_allowed(c->allowed, names_key, (void *)(uintptr_t)key)) {
        hy_info("config: %s%s was %s in the checkpoint, is %s now", key, what, before, after);
    } else {
        refuse_change(c, key, before, after);
    }
}

/* The checkpoint's configuration with the keys of today: one that it does not have has its default. */
static hy_status modernise(const char *text, char **out) {
    hy_config *config = NULL;
    size_t length = 0;
    HY_TRY(HY_NEW("config of the checkpoint", 1, &config));
    hy_log_set_level(HY_LOG_NONE); /* a key that is gone is no error: the texts are compared as they are then */
    hy_status status = hy_config_parse("checkpoint", text, strlen(text), config);
    if (status == HY_OK) {
        status = hy_config_write(config, out, &length);
    }
    hy_log_set_level(HY_LOG_INFO);
    hy_free(config);
    return status;
}

/* A name on the command line that is no key: the nearest is kept. */
typedef struct key_search {
    const char *config;
    char name[KEY_SIZE], nearest[KEY_SIZE];
} key_search;

static bool is_no_key(const char *name, size_t n, void *context) {
    key_search *search = context;
    snprintf(search->name, sizeof search->name, "%.*s", (int)(n < KEY_SIZE ? n : KEY_SIZE - 1), name);
    return !hy_config_has(search->config, search->name, search->nearest, sizeof search->nearest);
}

static hy_status check_allowed_names(const hy_allowed_changes *allowed, const char *config) {
    key_search search = {.config = config};
    if (any_allowed(allowed, is_no_key, &search)) {
        return hy_fail(HY_ERR_USAGE, "--allow-change %s: no such key; nearest: %s", search.name, search.nearest);
    }
    return HY_OK;
}

hy_status hy_config_change_check(const char *path, const hy_manifest *manifest, const char *config, const char *stores,
                                 const hy_allowed_changes *allowed) {
    char *before = NULL;
    comparison *c = NULL;
    HY_TRY(check_allowed_names(allowed, config));
    HY_TRY(HY_NEW("comparison of configurations", 1, &c));
    c->allowed = allowed;
    const bool modern = modernise(manifest->config, &before) == HY_OK;
    hy_config_diff(modern ? before : manifest->config, config, compare_key, c);
    if (manifest->stores != NULL) {
        c->contents = true;
        hy_config_diff(manifest->stores, stores, compare_key, c);
    }
    hy_status status = HY_OK;
    if (c->refused > 0) {
        status = hy_fail(HY_ERR_USAGE,
                         "%s was made with another configuration:%s\nset them back, choose another run.dir, or go on "
                         "with the change: --allow-change %s",
                         path, c->list, c->keys);
    }
    hy_free(before);
    hy_free(c);
    return status;
}
