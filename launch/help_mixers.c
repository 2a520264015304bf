/* hylas help mixers [KIND]: every row of the table of mixers, or one, with its keys. What it exchanges is asked of a small model with it. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "kernels/device.h"
#include "launch/commands.h"
#include "launch/one_mixer.h"
#include "layers/mixers/mixer.h"
#include "layers/model_config_keys.h"

static const hy_schema_entry *entry_of(const char *key) {
    const hy_schema_entry *entry = hy_mixer_schema.entries;
    while (strcmp(entry->key, key) != 0) {
        entry++;
    }
    return entry;
}

/* lizard has states beside its keys and values. */
static bool has_states(const hy_graph *graph) {
    for (int i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].class == &hy_class_recur || graph->nodes[i].class == &hy_class_levels) {
            return true;
        }
    }
    return false;
}

static hy_status print_exchange(const char *kind) {
    const hy_run_shape shape = {.sequence_size = 2, .n_seq = 1, .len = 64, .dtype = HY_F32, .train = true};
    hy_model *model = NULL;
    hy_layer_info info;
    HY_TRY(hy_one_mixer_create(kind, &model));
    hy_model_layer_info(model, &shape, 0, &info);
    const bool more = has_states(hy_model_graph(model)) && strncmp(info.method, "state", 5) != 0;
    printf("  exchange: %s%s\n", more ? "state all-gather, " : "", info.method);
    hy_model_destroy(model);
    return HY_OK;
}

/* " (a, b)", without "default". */
static void print_choices(const char *const *names) {
    const int first = strcmp(names[0], "default") == 0;
    for (int i = first; names[i]; i++) {
        printf("%s%s", i == first ? " (" : ", ", names[i]);
    }
    putchar(')');
}

static hy_status print_mixer(const hy_mixer_row *row) {
    hy_mixer_key keys[HY_MIXER_KEYS_MAX];
    const int n = hy_mixer_keys(row, keys);
    printf("%s: %s\n", row->kind, row->help);
    HY_TRY(print_exchange(row->kind));
    for (int i = 0; i < n; i++) {
        const hy_schema_entry *entry = entry_of(keys[i].name);
        printf("  %-20s %-28s %s", keys[i].name, keys[i].preset[0] ? keys[i].preset : entry->preset,
               keys[i].help ? keys[i].help : entry->help);
        if (!keys[i].help && entry->kind == HY_SCHEMA_KIND_ENUM) {
            print_choices(entry->names);
        }
        putchar('\n');
    }
    printf("\n");
    return HY_OK;
}

static void print_mixers_head(void) {
    printf("A mixer is the part of a layer that looks at other tokens. model.schedule.pattern says which layer has "
           "which, by kind or by a\n"
           "name under model.mixers, where its keys are:\n\n"
           "    model:\n"
           "      schedule: {pattern: [near, gla]}\n"
           "      mixers: {near: {kind: attention, heads: 8, window: 4Ki}}\n\n"
           "A key that a mixer does not have is an error. width is model.width. Each has: key, default, meaning.\n\n");
}

hy_status hy_help_mixers(const char *kind) {
    const char *names[64];
    int n = 0;
    for (; n < 64 && hy_mixer_row_at(n); n++) {
        names[n] = hy_mixer_row_at(n)->kind;
    }
    if (kind && !hy_mixer_row_find(kind)) {
        return hy_fail(HY_ERR_USAGE, "hylas help mixers: no mixer %s; nearest: %s", kind,
                       names[hy_text_nearest(kind, names, n)]);
    }
    if (kind) {
        return print_mixer(hy_mixer_row_find(kind));
    }
    print_mixers_head();
    for (int i = 0; i < n; i++) {
        HY_TRY(print_mixer(hy_mixer_row_at(i)));
    }
    return HY_OK;
}
