/* The keys of the generic linear layer, as a row of its table has them: what hy_linear_build reads for such a row. */
#include <stdio.h>
#include <string.h>

#include "layers/mixers/linear_row.h"
#include "layers/model_config_keys.h"

typedef struct key_list {
    hy_mixer_key *keys;
    int n;
} key_list;

/* The name of an enum's value. */
static const char *name_of(const char *key, int value) {
    for (size_t i = 0; i < hy_mixer_schema.n_entries; i++) {
        if (strcmp(hy_mixer_schema.entries[i].key, key) == 0) {
            return hy_mixer_schema.entries[i].names[value];
        }
    }
    return "";
}

static hy_mixer_key *add_key(key_list *list, const char *name, const char *preset, const char *help) {
    hy_mixer_key *key = &list->keys[list->n++];
    *key = (hy_mixer_key){.name = name, .help = help};
    (void)snprintf(key->preset, sizeof key->preset, "%s", preset);
    return key;
}

/* value where it is set, else `otherwise`. */
static void add_number(key_list *list, const char *name, int64_t value, const char *otherwise, const char *help) {
    hy_mixer_key *key = add_key(list, name, otherwise, help);
    if (value > 0) {
        (void)snprintf(key->preset, sizeof key->preset, "%lld", (long long)value);
    }
}

/* A share of the width. */
static void add_share(key_list *list, const char *name, double ratio, const char *help) {
    hy_mixer_key *key = add_key(list, name, "width/heads", help);
    if (ratio != 1) {
        (void)snprintf(key->preset, sizeof key->preset, "%g*width/heads", ratio);
    }
}

static void add_sizes(key_list *list, const hy_linear_row *row) {
    hy_mixer_key *heads = add_key(list, "heads", "", NULL);
    (void)snprintf(heads->preset, sizeof heads->preset, row->heads > 0 ? "%lld" : "width/%lld",
                   (long long)(row->heads > 0      ? row->heads
                               : row->head_dim > 0 ? row->head_dim
                                                   : 128));
    if (row->rule == HY_RULE_ADDITIVE) {
        add_key(list, "kv_heads", "heads", "key and value heads, each serving heads/kv_heads query heads");
    } else {
        add_key(list, "value_heads", "heads", "value heads, a multiple of `heads`");
    }
    if (row->head_dim > 0) {
        add_number(list, "head_dim", row->head_dim, "", NULL);
    } else {
        add_share(list, "head_dim", row->key_ratio, NULL);
    }
    if (row->value_ratio > 0) {
        add_share(list, "value_dim", row->value_ratio, NULL);
    } else {
        add_key(list, "value_dim", "head_dim", NULL);
    }
}

static void add_decay(key_list *list, const hy_linear_row *row) {
    if (row->source == HY_DECAY_FROM_LOW_RANK || row->source == HY_DECAY_FROM_LOW_RANK_STEP) {
        add_number(list, "gate_rank", row->gate_rank, "value_dim", "rank of the decay's projection");
    }
    if (row->source == HY_DECAY_FROM_LOW_RANK) {
        add_key(list, "gate_divisor", "", "log decay = logsigmoid/divisor");
        add_key(list, "gate_floor", "", "the log decay's lowest value; -.inf = none");
    }
    if (row->source == HY_DECAY_FROM_LOW_RANK_STEP) {
        add_key(list, "lower_bound", "", "log decay = lower_bound*sigmoid(...), so never lower; 0 = the plain gate");
    }
}

int hy_linear_keys(const hy_linear_row *row, hy_mixer_key keys[HY_MIXER_KEYS_MAX]) {
    key_list list = {keys, 0};
    add_sizes(&list, row);
    add_number(&list, "conv", row->conv, "0", NULL);
    add_key(&list, "conv_bias", "false", NULL);
    add_number(&list, "rope_base", (int64_t)row->rope_base, "0", NULL);
    add_key(&list, "qk_norm", name_of("qk_norm", (int)row->qk_norm),
            "normalisation of q and k per head: l2, sum or layer");
    add_key(&list, "feature_map", name_of("feature_map", (int)row->feature_map), NULL);
    add_key(&list, "tie_feature_maps", "", NULL);
    add_key(&list, "feature_norm", "", NULL);
    add_decay(&list, row);
    if (row->rule == HY_RULE_ADDITIVE) {
        add_key(&list, "normaliser", row->normaliser ? "true" : "false", "divide the output by the sum of its weights");
    } else {
        add_key(&list, "beta", "", "learned write strength; false = 1");
        add_key(&list, "negative_eigenvalues", "", "write strength up to 2 instead of 1");
    }
    add_key(&list, "output_gate", name_of("output_gate", (int)row->gate),
            "elementwise gate on the output: swish or sigmoid");
    add_key(&list, "output_norm", row->scope == HY_SCOPE_NOTHING ? "false" : "true", "whether the output is normed");
    add_key(&list, "gate_first", "false", "the output gate comes before the output norm");
    add_key(&list, "norm_eps", "model.norm_eps", NULL);
    return list.n;
}
