#include "tests/conformance/conform_problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/linear_row.h"
#include "layers/model_build.h"
#include "layers/model_config_keys.h"

const char *const conform_heads_names[] = {"narrow", "wide", NULL};
const char *const conform_packing_names[] = {"alone", "packed", "sequences", "few", NULL};

/* ---- the model ---- */

/* What a mixer that has the key gets; the others keep their defaults. */
static const struct {
    const char *key;
    int64_t value[CONFORM_HEADS_N];
} sizes[] = {
    {"heads", {3, 2}},         {"kv_heads", {1, 2}},       {"value_heads", {6, 4}},  {"head_dim", {4, 32}},
    {"value_dim", {5, 33}},    {"window", {9, 0}},         {"sinks", {2, 0}},        {"feature_dim", {4, 16}},
    {"kv_rank", {5, 24}},      {"q_rank", {3, 0}},         {"rope_dim", {2, 16}},    {"gate_rank", {3, 16}},
    {"mix_rank", {3, 8}},      {"rate_rank", {2, 8}},      {"value_rank", {2, 8}},   {"output_rank", {3, 8}},
    {"filter_width", {9, 70}}, {"filter_groups", {4, 16}}, {"filter_order", {3, 8}}, {"levels", {9, 9}},
};
static const int64_t widths[CONFORM_HEADS_N] = {12, 64};

/* What is made of it would be more than a thousand features of a wide head, or not fit the model (hgrn). */
static bool keeps_default(const hy_mixer_row *row, const char *key, int64_t value) {
    hy_mixer_key keys[HY_MIXER_KEYS_MAX];
    const int n = hy_mixer_keys(row, keys);
    bool is_width = false;
    for (int i = 0; i < n; i++) {
        is_width = is_width || (strcmp(keys[i].name, key) == 0 && strcmp(keys[i].preset, "width") == 0);
    }
    const int64_t own = row->linear != NULL ? row->linear->head_dim : 0;
    return (strcmp(key, "value_dim") == 0 && is_width) || (strcmp(key, "head_dim") == 0 && own > 0 && own < value);
}

static void set_size(const hy_mixer_row *row, const char *key, int64_t value, hy_mixer_config *m) {
    for (size_t i = 0; i < hy_mixer_schema.n_entries; i++) {
        const hy_schema_entry *entry = &hy_mixer_schema.entries[i];
        if (strcmp(entry->key, key) == 0 && hy_mixer_uses(row, key) && !keeps_default(row, key, value)) {
            *(int64_t *)((char *)m + entry->offset) = value;
        }
    }
}

hy_status conform_model_create(const char *kind, conform_heads heads, hy_model **out) {
    hy_model_config *config = NULL;
    HY_TRY(HY_NEW("config", 1, &config));
    hy_model_config_init(config);
    config->layers = 2;
    config->width = widths[heads];
    config->mlp_width = 10;
    config->vocab = CONFORM_TOKENS;
    config->tied = false;
    config->norm_eps =
        0.01; /* the norm of an output that is almost zero multiplies its rounding errors a thousandfold */
    config->n_pattern = config->n_mixers = 1;
    (void)snprintf(config->pattern[0], HY_NAME_MAX, "%s", kind);
    hy_mixer_config_init(&config->mixers[0], kind);
    if (hy_mixer_uses(hy_mixer_row_find(kind), "norm_eps")) {
        config->mixers[0].norm_eps = config->norm_eps;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        set_size(hy_mixer_row_find(kind), sizes[i].key, sizes[i].value[heads], &config->mixers[0]);
    }
    hy_status status = hy_model_config_resolve(config);
    if (status == HY_OK) {
        status = hy_model_create(config, 1, out);
    }
    hy_free(config);
    return status;
}

void conform_model_params(const hy_model *model, uint64_t seed, double *params) {
    int64_t count;
    const hy_param *all = hy_model_params(model, &count);
    hy_model_init_params(model, seed, HY_F64, params);
    for (int64_t p = 0; p < count; p++) {
        const int64_t cols = all[p].shape[all[p].n_dims - 1];
        const bool embedding = strcmp(all[p].name, "model.embeddings.weight") == 0;
        const double size = embedding ? 1 : all[p].n_dims > 1 ? 0.9 / sqrt((double)cols) : 0.2;
        for (int64_t i = 0; i < all[p].size; i++) {
            double *x = &params[all[p].offset + i];
            *x = (double)(float)(*x + size * hy_random_normal(seed, hy_random_stream(all[p].name), (uint64_t)i));
        }
    }
}

conform_group conform_model_group(const hy_model *model) {
    const hy_graph *graph = hy_model_graph(model);
    conform_group group = CONFORM_NEITHER;
    for (int i = 0; i < graph->n_nodes && group != CONFORM_KEYS; i++) {
        const hy_node *node = &graph->nodes[i];
        if (node->class == &hy_class_attention) {
            group = CONFORM_KEYS;
        } else if (node->class == &hy_class_levels) {
            group = CONFORM_LEVELS;
        } else if (node->class == &hy_class_recur) {
            group = node->attr.recur.rule == HY_RULE_ADDITIVE ? CONFORM_NUMBERS : CONFORM_MATRICES;
        }
    }
    return group;
}

bool conform_model_has_states(const hy_model *model) {
    const hy_graph *graph = hy_model_graph(model);
    for (int i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].class == &hy_class_recur || graph->nodes[i].class == &hy_class_levels) {
            return true;
        }
    }
    return false;
}

/* ---- its input ---- */

static int by_position(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void conform_problem_draw(conform_packing packing, uint64_t seed, conform_problem *p) {
    static const int64_t n_seq[] = {1, 1, 3, 1}, len[] = {CONFORM_TOKENS, CONFORM_TOKENS, 47, 5};
    *p = (conform_problem){.n_seq = n_seq[packing], .len = len[packing]};
    const int64_t n = p->n_seq * p->len;
    for (int64_t s = 0; s <= p->n_seq; s++) {
        p->docs[p->n_docs++] = s * p->len;
    }
    for (int i = 0; packing != CONFORM_ALONE && i < (packing == CONFORM_FEW ? 2 : 5); i++) {
        const int64_t at = (int64_t)(hy_random_u64(seed, 40, 16 * (uint64_t)packing + (uint64_t)i) % (uint64_t)(n + 1));
        p->docs[p->n_docs++] = i == 1 ? at * 8 / n * n / 8 : at; /* where a fragment begins */
        if (i == 0) {
            p->docs[p->n_docs++] = at; /* an empty document, and one of one token */
            p->docs[p->n_docs++] = at < n ? at + 1 : n;
        }
    }
    qsort(p->docs, (size_t)p->n_docs, sizeof *p->docs, by_position);
    p->n_docs--;
    for (int64_t t = 0; t < n; t++) {
        p->ids[t] = (int32_t)hy_random_permute(seed, 41, CONFORM_TOKENS, (uint64_t)t);
        p->labels[t] = (int32_t)(hy_random_u64(seed, 42, (uint64_t)t) % CONFORM_TOKENS);
    }
}

/* ---- the oracle ---- */

typedef struct oracle_run {
    hy_device *device;
    hy_comm *self;
    const hy_model *model;
    double *params, *grads; /* memory of the host, as that of the device is */
} oracle_run;

/* Its logits [len,vocab]; its gradients are added to `grads`. */
static hy_status run_document(const oracle_run *r, const int32_t *ids, const int32_t *labels, int64_t len,
                              double *logits, double *grads) {
    const hy_run_shape shape = {.sequence_size = 1, .n_seq = 1, .len = len, .dtype = HY_F64, .train = true};
    const int64_t flat = hy_model_flat_size(r->model);
    hy_layout *layout = NULL;
    hy_runner *runner = NULL;
    double loss = 0;
    hy_status status = hy_layout_create(HY_LAYOUT_CONTIGUOUS, 1, 0, 1, len, &layout);
    if (status == HY_OK) {
        status = hy_runner_create(r->model, &shape, r->device, r->self, r->params, r->grads, 0, &runner);
    }
    if (status == HY_OK) {
        const hy_batch batch = {layout, ids, labels};
        hy_runner_eval(runner, &batch, &loss, &(hy_eval_rows){.logits = logits});
        memset(r->grads, 0, (size_t)flat * sizeof *r->grads);
        hy_runner_step(runner, &batch, 1, &loss, NULL, NULL);
        for (int64_t i = 0; i < flat; i++) {
            grads[i] += r->grads[i];
        }
    }
    hy_runner_destroy(runner);
    hy_layout_destroy(layout);
    return status;
}

hy_status conform_oracle(const hy_model *model, const double *params, const conform_problem *p, double *logits,
                         double *grads) {
    oracle_run r = {.model = model};
    const int64_t flat = hy_model_flat_size(model);
    memset(grads, 0, (size_t)flat * sizeof *grads);
    hy_status status = hy_device_create("cpu_ref", HY_F64, &r.device);
    if (status == HY_OK) {
        status = hy_comm_self_create(&r.self);
    }
    if (status == HY_OK) {
        status = HY_NEW("parameters", flat, &r.params);
    }
    if (status == HY_OK) {
        status = HY_NEW("gradients", flat, &r.grads);
    }
    if (status == HY_OK) {
        memcpy(r.params, params, (size_t)flat * sizeof *params);
    }
    for (int64_t d = 0; d < p->n_docs && status == HY_OK; d++) {
        const int64_t at = p->docs[d], len = p->docs[d + 1] - at;
        if (len > 0) {
            status = run_document(&r, p->ids + at, p->labels + at, len, logits + at * CONFORM_TOKENS, grads);
        }
    }
    hy_free(r.params);
    hy_free(r.grads);
    hy_comm_destroy(r.self);
    hy_device_destroy(r.device);
    return status;
}
