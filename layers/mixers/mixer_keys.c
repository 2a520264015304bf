/* Which keys a mixer uses, what becomes of the others, and how messages speak of them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "layers/mixers/mixer.h"
#include "layers/model_config_keys.h"

/* ---- which ---- */

int hy_mixer_keys(const hy_mixer_row *row, hy_mixer_key keys[HY_MIXER_KEYS_MAX]) {
    int n = row->linear ? hy_linear_keys(row->linear, keys) : 0;
    for (const hy_mixer_key *key = row->keys; key && key->name; key++) {
        keys[n++] = *key;
    }
    if (row->leveled) {
        keys[n++] = (hy_mixer_key){
            .name = "levels", .preset = "15", .help = "states of blocks of 1, 1, 2, 4 ... tokens, in all 2^(levels-1)"};
    }
    keys[n++] = (hy_mixer_key){.name = "mlp", .preset = "true"};
    if (row->no_mlp) {
        (void)snprintf(keys[n - 1].preset, sizeof keys[n - 1].preset, "false");
    }
    keys[n++] = (hy_mixer_key){.name = "norm_place"};
    return n;
}

static const hy_mixer_key *find_mixer_key(const hy_mixer_key *keys, int n, const char *name) {
    for (int i = 0; i < n; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

bool hy_mixer_uses(const hy_mixer_row *row, const char *key) {
    hy_mixer_key keys[HY_MIXER_KEYS_MAX];
    return strcmp(key, "kind") == 0 || find_mixer_key(keys, hy_mixer_keys(row, keys), key) != NULL;
}

static const hy_schema_entry *find_entry(const char *key) {
    const hy_schema_entry *entry = hy_mixer_schema.entries;
    while (strcmp(entry->key, key) != 0) {
        entry++;
    }
    return entry;
}

static void *field(const hy_schema_entry *entry, hy_mixer_config *mixer) {
    return (char *)mixer + entry->offset;
}

static bool same(const hy_schema_entry *entry, const hy_mixer_config *a, const hy_mixer_config *b) {
    return memcmp((const char *)a + entry->offset, (const char *)b + entry->offset, entry->size) == 0;
}

/* ---- messages ---- */

hy_mixer_text hy_mixer_value(const hy_mixer_request *request, const char *key) {
    const hy_schema_entry *entry = find_entry(key);
    hy_mixer_key keys[HY_MIXER_KEYS_MAX];
    const hy_mixer_key *own = find_mixer_key(keys, hy_mixer_keys(request->row, keys), key);
    hy_mixer_text text;
    char value[64] = "", preset[64] = "";
    hy_schema_show(entry, request->mixer, value, sizeof value);
    if (own && own->preset[0] != '\0' && !same(entry, request->asked, request->mixer)) {
        (void)snprintf(preset, sizeof preset, strcmp(own->preset, value) == 0 ? " (by default)" : " (by default %s)",
                       own->preset);
    }
    (void)snprintf(text.s, sizeof text.s, "%.60s = %s%s", key, value, preset);
    return text;
}

hy_status hy_mixer_fail(const hy_mixer_request *request, const char *key, const char *format, ...) {
    char path[128], message[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    (void)snprintf(path, sizeof path, "model.mixers.%s.%s", request->mixer->name, key);
    return hy_schema_fail(request->origins, path, "model.mixers.%s: %s %s", request->mixer->name,
                          hy_mixer_value(request, key).s, message);
}

hy_status hy_mixer_default(const hy_mixer_request *request, const char *key, int64_t *field, int64_t fallback,
                           int64_t least) {
    if (*field == HY_DEFAULT) {
        *field = fallback;
    }
    return *field >= least ? HY_OK : hy_mixer_fail(request, key, "must be at least %lld", (long long)least);
}

/* ---- resolving ---- */

/* A key that the mixer does not use and that says something of its own. */
static hy_status refuse_foreign(const hy_mixer_request *request, const char *key) {
    hy_mixer_key keys[HY_MIXER_KEYS_MAX];
    const char *names[HY_MIXER_KEYS_MAX], *kind = request->row->kind;
    const int n = hy_mixer_keys(request->row, keys);
    char path[128];
    for (int i = 0; i < n; i++) {
        names[i] = keys[i].name;
    }
    (void)snprintf(path, sizeof path, "model.mixers.%s.%s", request->asked->name, key);
    return hy_schema_fail(request->origins, path, "%s: %s has no such key; nearest: '%s' (all: hylas help mixers %s)",
                          path, kind, names[hy_text_nearest(key, names, n)], kind);
}

static hy_status check_foreign(const hy_mixer_request *request, const hy_mixer_config *defaults) {
    for (size_t i = 0; i < hy_mixer_schema.n_entries; i++) {
        const hy_schema_entry *entry = &hy_mixer_schema.entries[i];
        if (!hy_mixer_uses(request->row, entry->key) && !same(entry, request->asked, defaults) &&
            !same(entry, request->asked, request->mixer)) {
            return refuse_foreign(request, entry->key);
        }
    }
    return HY_OK;
}

hy_status hy_mixer_resolve(const hy_model_config *config, const hy_schema_origins *origins, hy_mixer_config *mixer) {
    const hy_mixer_row *row = hy_mixer_row_find(mixer->kind);
    hy_mixer_config defaults, answer = *mixer;
    hy_mixer_request request = {row, config, mixer, origins, &answer};
    hy_mixer_config_init(&defaults, mixer->name);
    for (size_t i = 0; i < hy_mixer_schema.n_entries; i++) {
        const hy_schema_entry *entry = &hy_mixer_schema.entries[i];
        if (!hy_mixer_uses(row, entry->key)) {
            memcpy(field(entry, &answer), field(entry, &defaults), entry->size);
        }
    }
    answer.mlp = answer.mlp != HY_SWITCH_DEFAULT ? answer.mlp : row->no_mlp ? HY_SWITCH_OFF : HY_SWITCH_ON;
    HY_TRY(row->resolve(&request));
    answer.norm_eps = answer.norm_eps == HY_DEFAULT ? config->norm_eps : answer.norm_eps;
    if (row->leveled) {
        HY_TRY(hy_mixer_default(&request, "levels", &answer.levels, 15, 1));
    }
    HY_TRY(check_foreign(&request, &defaults));
    *mixer = answer;
    return HY_OK;
}
