/* Which keys a mixer has, held against what its build function does: a key that is none of its own changes nothing of the model, one that is
 * changes something. Defaults as they are described, against those that come out. What users see who set another's key. Configurations
 * written before mixers had keys of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "capture.h"
#include "layers/graph/graph.h"
#include "layers/mixers/mixer.h"
#include "layers/model_build.h"
#include "layers/model_config_keys.h"
#include "train/run/config.h"

enum { WIDTH = 256 };

static hy_model_config *config, *other;

static int setup(void **unused) {
    (void)unused;
    config = calloc(1, sizeof *config);
    other = calloc(1, sizeof *other);
    return config && other ? 0 : -1;
}

static int teardown(void **unused) {
    (void)unused;
    free(config);
    free(other);
    return 0;
}

/* A model of two layers of this kind, not yet resolved. */
static hy_mixer_config *begin(hy_model_config *c, const char *kind) {
    hy_model_config_init(c);
    c->layers = 2;
    c->width = WIDTH;
    c->vocab = 11;
    c->n_pattern = c->n_mixers = 1;
    snprintf(c->pattern[0], HY_NAME_MAX, "%s", kind);
    hy_mixer_config_init(&c->mixers[0], kind);
    return &c->mixers[0];
}

/* ---- what a resolved config builds ---- */

static bool same_weight(const hy_weight *a, const hy_weight *b) {
    return a->param == b->param && (a->param == HY_NONE || a->offset == b->offset);
}

static bool same_node(const hy_node *a, const hy_node *b) {
    bool same = a->class == b->class && a->block == b->block && memcmp(a->in, b->in, sizeof a->in) == 0 &&
                memcmp(a->out, b->out, sizeof a->out) == 0 && memcmp(&a->attr, &b->attr, sizeof a->attr) == 0;
    for (int i = 0; i < HY_NODE_WEIGHTS; i++) {
        same = same && same_weight(&a->w[i], &b->w[i]);
    }
    return same;
}

static bool same_param(const hy_param *a, const hy_param *b) {
    return strcmp(a->name, b->name) == 0 && a->n_dims == b->n_dims && a->size == b->size && a->init == b->init &&
           memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof *a->shape) == 0 && a->decay == b->decay &&
           a->init_a == b->init_a && a->init_b == b->init_b && a->formula == b->formula;
}

static bool build_the_same(const hy_model_config *a, const hy_model_config *b) {
    hy_graph g[2];
    hy_status status[2];
    for (int i = 0; i < 2; i++) {
        hy_graph_init(&g[i]);
        status[i] = hy_model_build(&g[i], i == 0 ? a : b);
    }
    bool same = status[0] == HY_OK && status[1] == HY_OK && g[0].n_nodes == g[1].n_nodes &&
                g[0].n_params == g[1].n_params && g[0].n_vars == g[1].n_vars;
    for (int n = 0; same && n < g[0].n_nodes; n++) {
        same = same_node(&g[0].nodes[n], &g[1].nodes[n]);
    }
    for (int n = 0; same && n < g[0].n_params; n++) {
        same = same_param(&g[0].params[n], &g[1].params[n]);
    }
    hy_graph_fini(&g[0]);
    hy_graph_fini(&g[1]);
    return same;
}

/* The i-th other value of a field; false: there is none. */
static bool change(const hy_schema_entry *entry, hy_mixer_config *mixer, int i) {
    static const int64_t ints[] = {1, 2, 4, 128, 0, 3};
    static const double doubles[] = {0.5, -0.5, 0.25, 10000, 0};
    void *field = (char *)mixer + entry->offset;
    int value = 0;
    switch (entry->kind) {
    case HY_SCHEMA_KIND_BOOL:
        *(bool *)field = !*(bool *)field;
        return i == 0;
    case HY_SCHEMA_KIND_INT:
        if (i < 6) {
            *(int64_t *)field = ints[i];
        }
        return i < 6;
    case HY_SCHEMA_KIND_DOUBLE:
        if (i < 5) {
            *(double *)field = doubles[i];
        }
        return i < 5;
    case HY_SCHEMA_KIND_ENUM:
        for (value = 0; entry->names[value]; value++) {
        }
        if (i < value) {
            memcpy(field, &i, sizeof i);
        }
        return i < value;
    default:
        return false;
    }
}

static bool differs(const hy_schema_entry *entry, const hy_mixer_config *a, const hy_mixer_config *b) {
    return memcmp((const char *)a + entry->offset, (const char *)b + entry->offset, entry->size) != 0;
}

/* Options without which some keys have nothing to act on. */
static void enrich(const hy_mixer_row *row, hy_mixer_config *m) {
    m->conv = hy_mixer_uses(row, "conv") ? 4 : m->conv;
    m->rope_base = hy_mixer_uses(row, "rope_base") ? 1000 : m->rope_base;
    if (hy_mixer_uses(row, "output_gate")) {
        m->output_gate = strcmp(row->kind, "attention") == 0 ? HY_GATE_CHANNEL : HY_GATE_SIGMOID;
    }
    if (hy_mixer_uses(row, "qk_norm")) {
        m->qk_norm = strcmp(row->kind, "attention") == 0 ? HY_QK_NORM_RMS_HEAD : HY_QK_NORM_L2;
    }
    m->feature_map = hy_mixer_uses(row, "feature_map") ? HY_FEATURE_HEDGEHOG : m->feature_map;
    m->output_norm = hy_mixer_uses(row, "output_norm") ? HY_SWITCH_ON : m->output_norm;
    m->lower_bounds = m->lower_bounds && !hy_mixer_uses(row, "lower_bounds"); /* they fix the number of channels */
    m->q_rank = hy_mixer_uses(row, "q_rank") ? 16 : m->q_rank;
}

static bool some_value_matters(const hy_mixer_row *row, const hy_schema_entry *entry) {
    bool matters = false;
    for (int rich = 0; rich < 2; rich++) {
        for (int i = 0; !matters; i++) {
            hy_mixer_config *a = begin(config, row->kind), *b = begin(other, row->kind);
            if (rich) {
                enrich(row, a);
                enrich(row, b);
            }
            if (!change(entry, b, i)) {
                break;
            }
            matters = hy_model_config_resolve(config) == HY_OK && hy_model_config_resolve(other) == HY_OK &&
                      differs(entry, a, b) && !build_the_same(config, other);
        }
    }
    return matters;
}

/* What a build function reads without its being a key: resolving holds it at what the row means. */
static bool is_held(const hy_mixer_row *row, const char *key) {
    const bool heads = strcmp(key, "kv_heads") == 0 || strcmp(key, "value_heads") == 0;
    return (row->linear && (heads || strcmp(key, "normaliser") == 0)) ||
           (row->conv && strcmp(key, "learned_decay") == 0) ||
           (strcmp(row->kind, "hgrn2") == 0 && strcmp(key, "value_dim") == 0); /* width/heads */
}

static void test_keys_are_those_that_matter(void **unused) {
    (void)unused;
    int own = 0, foreign = 0;
    hy_log_set_level(HY_LOG_NONE);
    for (int r = 0; hy_mixer_row_at(r); r++) {
        const hy_mixer_row *row = hy_mixer_row_at(r);
        for (size_t e = 0; e < hy_mixer_schema.n_entries; e++) {
            const hy_schema_entry *entry = &hy_mixer_schema.entries[e];
            if (strcmp(entry->key, "kind") == 0) {
                continue;
            }
            if (hy_mixer_uses(row, entry->key)) {
                own++;
                if (!some_value_matters(row, entry)) {
                    fail_msg("%s has the key %s, which changes nothing", row->kind, entry->key);
                }
                continue;
            }
            if (is_held(row, entry->key)) {
                continue;
            }
            for (int rich = 0; rich < 2; rich++) {
                hy_mixer_config *m = begin(config, row->kind);
                if (rich) {
                    enrich(row, m);
                }
                assert_int_equal(hy_model_config_resolve(config), HY_OK);
                for (int i = 0; memcpy(other, config, sizeof *other), change(entry, &other->mixers[0], i); i++) {
                    foreign++;
                    if (!build_the_same(config, other)) {
                        fail_msg("%s has no key %s, but it changes the model", row->kind, entry->key);
                    }
                }
            }
        }
    }
    hy_log_set_level(HY_LOG_INFO);
    assert_true(own > 200 && foreign > 2000);
}

/* ---- another's keys ---- */

/* Refused, unless the value is what holds anyway. */
static void test_foreign_keys_are_refused(void **unused) {
    (void)unused;
    int refused = 0, accepted = 0;
    hy_log_set_level(HY_LOG_NONE);
    for (int r = 0; hy_mixer_row_at(r); r++) {
        const hy_mixer_row *row = hy_mixer_row_at(r);
        for (size_t e = 0; e < hy_mixer_schema.n_entries; e++) {
            const hy_schema_entry *entry = &hy_mixer_schema.entries[e];
            if (hy_mixer_uses(row, entry->key)) {
                continue;
            }
            for (int i = 0;; i++) {
                hy_mixer_config defaults, asked, *m = begin(config, row->kind);
                hy_mixer_config_init(&defaults, row->kind);
                if (!change(entry, m, i)) {
                    break;
                }
                memcpy(&asked, m, sizeof asked);
                const hy_status status = hy_model_config_resolve(config);
                if (status == HY_OK && differs(entry, &asked, &defaults) && differs(entry, &asked, m)) {
                    fail_msg("%s accepts %s", row->kind, entry->key);
                }
                refused += status != HY_OK;
                accepted += status == HY_OK;
            }
        }
    }
    hy_log_set_level(HY_LOG_INFO);
    assert_true(refused > 1500 && accepted > 100);
}

static const char *message_of(const char *mixers) {
    static hy_config run;
    char text[1024];
    snprintf(text, sizeof text, "model:\n  width: 64\n  layers: 2\n  schedule: {pattern: [m]}\n  mixers:\n    m:\n%s",
             mixers);
    capture_begin();
    const hy_status status = hy_config_parse("a.yaml", text, strlen(text), &run);
    const char *message = capture_end();
    assert_int_equal(status, HY_ERR_USAGE);
    return message;
}

static void test_messages(void **unused) {
    (void)unused;
    static const struct {
        const char *mixers, *part;
    } cases[] = {
        {"      kind: attention\n      mix_rank: 3\n",
         "a.yaml:8: model.mixers.m.mix_rank: attention has no such key; nearest: '"},
        {"      kind: attention\n      kv_rank: 3\n", "a.yaml:8: model.mixers.m.kv_rank: attention has no such key"},
        {"      kind: attention\n      kv_head_dim: 3\n", "a.yaml:8: unknown key 'model.mixers.m.kv_head_dim'"},
        {"      kind: conv_long\n      filter_widht: 3\n", "nearest: 'model.mixers.m.filter_order'"},
        {"      beta: false\n      kind: attention\n", "a.yaml:7: model.mixers.m.beta: attention has no such key"},
        {"      kind: mamba2\n      window: 4\n", "a.yaml:8: model.mixers.m.window: mamba2 has no such key"},
        {"      kind: gla\n      value_heads: 8\n",
         "a.yaml:8: model.mixers.m.value_heads: gla has no such key; nearest: 'kv_heads' (all: hylas help mixers gla)"},
        {"      kind: mamba2\n      heads: 4\n",
         "a.yaml:8: model.mixers.m: heads = 4 does not divide value_heads = 2 (by default 2*width/value_dim)"},
        {"      kind: attention\n      kv_heads: 3\n      heads: 4\n",
         "a.yaml:8: model.mixers.m: kv_heads = 3 does not divide heads = 4\n"},
        {"      kind: attention\n      heads: 80\n",
         "model.mixers.m: head_dim = 0 (by default width/heads) must be at least 1"},
        {"      kind: attention\n      qk_norm: l2\n", "a.yaml:8: model.mixers.m: qk_norm = l2 is not for attention"},
        {"      kind: mla\n      rope_dim: 192\n",
         "a.yaml:8: model.mixers.m: rope_dim = 192 must be less than head_dim = 192 (by default)"},
        {"      kind: mamba3\n", "a.yaml:7: model.mixers.m.kind: no mixer 'mamba3'; nearest: 'mamba1'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_contains(message_of(cases[i].mixers), cases[i].part);
    }
}

/* ---- what is written, and what was written ---- */

/* A resolved mixer with every key of the schema, as configurations were written before. */
static size_t write_all(const hy_mixer_config *m, char *text, size_t size) {
    size_t n = (size_t)snprintf(text, size, "%s: {", m->name);
    for (size_t e = 0; e < hy_mixer_schema.n_entries; e++) {
        char value[64];
        hy_schema_show(&hy_mixer_schema.entries[e], m, value, sizeof value);
        n += (size_t)snprintf(text + n, size - n, "%s%s: %s", e > 0 ? ", " : "", hy_mixer_schema.entries[e].key, value);
    }
    n += (size_t)snprintf(text + n, size - n, "}");
    assert_true(n < size);
    return n;
}

static void test_configs_of_before(void **unused) {
    (void)unused;
    for (int r = 0; hy_mixer_row_at(r); r++) {
        char mixer[4096], text[8192];
        begin(config, hy_mixer_row_at(r)->kind);
        assert_int_equal(hy_model_config_resolve(config), HY_OK);
        write_all(&config->mixers[0], mixer, sizeof mixer);
        snprintf(text, sizeof text, "{layers: 2, width: %d, vocab: 11, schedule: {pattern: [%s]}, mixers: {%s}}", WIDTH,
                 config->mixers[0].name, mixer);
        hy_model_config_init(other);
        assert_int_equal(hy_schema_parse(&hy_model_schema, other, "old", text, strlen(text), NULL), HY_OK);
        assert_int_equal(hy_model_config_resolve(other), HY_OK);
        assert_memory_equal(&config->mixers[0], &other->mixers[0], sizeof config->mixers[0]);
    }
}

static void test_only_own_keys_are_written(void **unused) {
    (void)unused;
    for (int r = 0; hy_mixer_row_at(r); r++) {
        const hy_mixer_row *row = hy_mixer_row_at(r);
        char *text = NULL;
        size_t length = 0;
        begin(config, row->kind);
        assert_int_equal(hy_model_config_resolve(config), HY_OK);
        assert_int_equal(hy_schema_write(&hy_model_schema, config, &text, &length), HY_OK);
        const char *mixer = strstr(text, "mixers:");
        assert_non_null(mixer);
        for (size_t e = 0; e < hy_mixer_schema.n_entries; e++) {
            char line[64];
            snprintf(line, sizeof line, "\n    %s:", hy_mixer_schema.entries[e].key);
            if ((strstr(mixer, line) != NULL) != hy_mixer_uses(row, hy_mixer_schema.entries[e].key)) {
                fail_msg("%s and %s in\n%s", row->kind, hy_mixer_schema.entries[e].key, mixer);
            }
        }
        hy_free(text);
    }
}

/* ---- described defaults ---- */

static double operand(const char *word, const hy_model_config *c) {
    char *end = NULL;
    const double number = strtod(word, &end);
    if (end != word && *end == '\0') {
        return number;
    }
    if (strcmp(word, "width") == 0 || strcmp(word, "model.norm_eps") == 0) {
        return word[0] == 'w' ? (double)c->width : c->norm_eps;
    }
    for (size_t e = 0; e < hy_mixer_schema.n_entries; e++) {
        const hy_schema_entry *entry = &hy_mixer_schema.entries[e];
        if (strcmp(entry->key, word) == 0) {
            const void *field = (const char *)&c->mixers[0] + entry->offset;
            return entry->kind == HY_SCHEMA_KIND_INT ? (double)*(const int64_t *)field : *(const double *)field;
        }
    }
    fail_msg("a default speaks of '%s'", word);
    return 0;
}

/* Products and quotients from left to right. */
static double evaluate(const char *formula, const hy_model_config *c) {
    double value = 1;
    char operation = '*';
    while (*formula) {
        char word[64];
        const size_t n = strcspn(formula, "*/");
        snprintf(word, sizeof word, "%.*s", (int)n, formula);
        value = operation == '*' ? value * operand(word, c) : value / operand(word, c);
        operation = formula[n];
        formula += n + (formula[n] != '\0');
    }
    return value;
}

static void check_default(const hy_mixer_row *row, const hy_mixer_key *key, const hy_model_config *c) {
    const hy_schema_entry *entry = NULL;
    char value[64];
    for (size_t e = 0; e < hy_mixer_schema.n_entries; e++) {
        entry = strcmp(hy_mixer_schema.entries[e].key, key->name) == 0 ? &hy_mixer_schema.entries[e] : entry;
    }
    if (!entry) {
        fail_msg("%s: %s is no key", row->kind, key->name);
        return;
    }
    hy_schema_show(entry, &c->mixers[0], value, sizeof value);
    const char *preset = key->preset[0] ? key->preset : entry->preset;
    if (strpbrk(preset, "(") || strcmp(preset, value) == 0) {
        return; /* rounded sums and roots are told in words */
    }
    if ((entry->kind != HY_SCHEMA_KIND_INT && entry->kind != HY_SCHEMA_KIND_DOUBLE) ||
        evaluate(preset, c) != strtod(value, NULL)) {
        fail_msg("%s: %s is %s by default, not %s", row->kind, key->name, value, preset);
    }
}

static void test_described_defaults(void **unused) {
    (void)unused;
    for (int r = 0; hy_mixer_row_at(r); r++) {
        const hy_mixer_row *row = hy_mixer_row_at(r);
        hy_mixer_key keys[HY_MIXER_KEYS_MAX];
        const int n = hy_mixer_keys(row, keys);
        for (int64_t width = 512; width <= 2048; width *= 2) {
            begin(config, row->kind);
            config->width = width;
            assert_int_equal(hy_model_config_resolve(config), HY_OK);
            for (int i = 0; i < n; i++) {
                check_default(row, &keys[i], config);
                for (int j = 0; j < i; j++) {
                    assert_string_not_equal(keys[i].name, keys[j].name);
                }
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_those_that_matter),
        cmocka_unit_test(test_foreign_keys_are_refused),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_configs_of_before),
        cmocka_unit_test(test_only_own_keys_are_written),
        cmocka_unit_test(test_described_defaults),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
