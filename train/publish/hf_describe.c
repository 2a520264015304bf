/* config.json out, for a model that was made here or is no longer what it was imported as. A family writes what comes nearest in its
 * terms; reading that back shows whether it says the same, and if not, the first thing that is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers/model_config_keys.h"
#include "train/publish/hf.h"
#include "train/publish/hf_family.h"

enum { WHY_MAX = 512 };

/* What of a model's config is no mathematics of its own: the schedule and the mixers it names are compared layer by layer. */
static bool model_key_counts(const char *key, const void *object) {
    static const char *const others[] = {"schedule.pattern", "schedule.overrides", "mixers",
                                         "family",           "init_std",           "mlp.ratio"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(key, others[i]) == 0)
            return false;
    return strcmp(key, "norm_bias") != 0 || ((const hy_model_config *)object)->norm == HY_NORM_LAYER;
}

/* Keys that say nothing for this mixer. */
static bool mixer_key_counts(const char *key, const void *object) {
    const hy_mixer_config *m = object;
    const bool norms = m->qk_norm >= HY_QK_NORM_RMS_HEAD || strcmp(m->kind, "mla") == 0;
    return (strcmp(key, "qk_norm_eps") != 0 || norms) && (strcmp(key, "rope_fraction") != 0 || m->rope_base > 0);
}

/* The first entry in which they differ, or NULL. */
static const hy_schema_entry *difference(const hy_schema *schema, bool (*counts)(const char *, const void *),
                                         const void *a, const void *b) {
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *e = &schema->entries[i];
        const char *x = (const char *)a + e->offset, *y = (const char *)b + e->offset;
        if ((counts(e->key, a) || counts(e->key, b)) &&
            (e->kind == HY_SCHEMA_KIND_STRING ? strcmp(x, y) : memcmp(x, y, e->size)) != 0)
            return e;
    }
    return NULL;
}

/* NULL, or the entry in which `model` and what hf says differ; *a and *b are the structs that hold it, *mixer the name of a's. */
static const hy_schema_entry *first_difference(const hy_hf *hf, const hy_model_config *model, const void **a,
                                               const void **b, const char **mixer) {
    const hy_model_config *other = &hf->model;
    const hy_schema_entry *e = difference(&hy_model_schema, model_key_counts, model, other);
    *a = model;
    *b = other;
    *mixer = NULL;
    for (int64_t l = 0; l < model->layers && !e; l++) {
        *a = &model->mixers[model->layer_mixer[l]];
        *b = &other->mixers[other->layer_mixer[l]];
        *mixer = model->mixers[model->layer_mixer[l]].name;
        e = difference(&hy_mixer_schema, mixer_key_counts, *a, *b);
    }
    return e;
}

bool hy_hf_fits(const hy_hf *hf, const hy_model_config *model) {
    const void *a, *b;
    const char *mixer;
    return !first_difference(hf, model, &a, &b, &mixer);
}

/* Whether the layers are such as the family has: fills in the subject, or says why not. */
static bool find_mixers(const hy_hf_family *family, hy_hf_subject *subject, char why[WHY_MAX]) {
    const hy_model_config *model = subject->model;
    const char *name = hy_hf_family_called(family), *with = family->softmax == HY_HF_ALONE ? "" : " and attention";
    for (int64_t l = 0; l < model->layers; l++) {
        const hy_mixer_config *mixer = &model->mixers[model->layer_mixer[l]];
        const bool own = strcmp(mixer->kind, family->kind) == 0;
        const hy_mixer_config **slot = own ? &subject->own : &subject->softmax;
        if (!own && (family->softmax == HY_HF_ALONE || strcmp(mixer->kind, "attention") != 0)) {
            snprintf(why, WHY_MAX, "layer %lld is %s, and it has %s%s only", (long long)l, mixer->kind, family->kind,
                     with);
            return false;
        }
        if (*slot && *slot != mixer && (own || family->softmax == HY_HF_PAIR)) {
            snprintf(why, WHY_MAX, "it has one %s for all layers, not both model.mixers.%s and model.mixers.%s",
                     mixer->kind, (*slot)->name, mixer->name);
            return false;
        }
        *slot = mixer;
    }
    if (subject->own && (subject->softmax || family->softmax != HY_HF_PAIR))
        return true;
    snprintf(why, WHY_MAX, "no layer is %s, which every %s has", subject->own ? "attention" : family->kind, name);
    return false;
}

static void say_difference(const hy_hf *hf, const hy_model_config *model, char why[WHY_MAX]) {
    const void *a, *b;
    const char *mixer;
    char is[64], means[64];
    const hy_schema_entry *e = first_difference(hf, model, &a, &b, &mixer);
    hy_schema_value_text(e, a, is, sizeof is);
    hy_schema_value_text(e, b, means, sizeof means);
    snprintf(why, WHY_MAX, "model.%s%s%s%s is %s, and its config.json can only say %s", mixer ? "mixers." : "",
             mixer ? mixer : "", mixer ? "." : "", e->key, is, means);
}

/* Keys that only other programs read. */
static void add_extra(json_t *json, const hy_hf_extra *extra) {
    static const char *const tokens[] = {"bos_token_id", "eos_token_id"};
    const char *text = extra->original;
    json_t *original = text ? hy_hf_load_json("the imported config.json", text, strlen(text)) : NULL;
    const json_t *inner = json_object_get(original, "text_config");
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        json_t *value = json_object_get(original, tokens[i]);
        if (!value || json_is_null(value))
            value = json_object_get(inner, tokens[i]);
        json_object_set_new(json, tokens[i], value ? json_incref(value) : json_null());
    }
    const char *key = "max_position_embeddings";
    const json_t *before = json_object_get(inner ? inner : original, key);
    const int64_t most = json_integer_value(before) > extra->positions ? json_integer_value(before) : extra->positions;
    if (most > 0)
        json_object_set_new(json, key, json_integer(most));
    json_object_set_new(json, "dtype", json_string("float32"));
    json_decref(original);
}

/* *out becomes a description by this family that says exactly the same; or it stays NULL, and `why` tells. */
static hy_status try_family(const hy_hf_family *family, const hy_model_config *model, const hy_hf_extra *extra,
                            hy_hf **out, char why[WHY_MAX]) {
    hy_hf_subject subject = {.model = model};
    if (!family->describe || !find_mixers(family, &subject, why))
        return HY_OK;
    json_t *json = family->describe(&subject);
    if (!json) {
        snprintf(why, WHY_MAX, "%s", subject.why ? subject.why : "no memory");
        return HY_OK;
    }
    add_extra(json, extra);
    char *text = hy_hf_json_text(json);
    json_decref(json);
    hy_hf *hf = NULL;
    hy_status status = text ? hy_hf_parse("config.json to be written", text, strlen(text), &hf)
                            : hy_fail(HY_ERR_MEMORY, "no memory for config.json");
    free(text);
    HY_TRY(status);
    if (hy_hf_fits(hf, model)) {
        *out = hf;
        return HY_OK;
    }
    say_difference(hf, model, why);
    hy_hf_close(hf);
    return HY_OK;
}

void hy_hf_family_names(char *out, size_t size) {
    out[0] = '\0';
    for (int i = 0; hy_hf_family_at(i); i++) {
        const size_t used = strlen(out);
        if (hy_hf_family_at(i)->describe)
            snprintf(out + used, size - used, "%s%s", used ? ", " : "", hy_hf_family_called(hy_hf_family_at(i)));
    }
}

static hy_status describe_as(const hy_model_config *model, const char *name, const hy_hf_extra *extra, hy_hf **out) {
    const hy_hf_family *family = NULL;
    char why[WHY_MAX] = "";
    for (int i = 0; hy_hf_family_at(i) && !family; i++)
        if (strcmp(hy_hf_family_called(hy_hf_family_at(i)), name) == 0)
            family = hy_hf_family_at(i);
    if (!family || !family->describe) {
        char names[1024];
        hy_hf_family_names(names, sizeof names);
        return hy_fail(HY_ERR_USAGE, "family %s %s; these can be: %s", name,
                       family ? "is only read and handed on, not written anew" : "is not known", names);
    }
    HY_TRY(try_family(family, model, extra, out, why));
    return *out ? HY_OK : hy_fail(HY_ERR_USAGE, "%s cannot be said as %s: %s", "the model", name, why);
}

hy_status hy_hf_describe(const hy_model_config *model, const char *family, const hy_hf_extra *extra, hy_hf **out) {
    char why[WHY_MAX], nearest[WHY_MAX] = "none has such layers";
    *out = NULL;
    if (family)
        return describe_as(model, family, extra, out);
    for (int own = 1; own >= 0; own--) /* first the family that the model came from */
        for (int i = 0; hy_hf_family_at(i) && !*out; i++) {
            const hy_hf_family *f = hy_hf_family_at(i);
            hy_hf_subject subject = {.model = model};
            if (own != (strcmp(hy_hf_family_called(f), model->family) == 0))
                continue;
            HY_TRY(try_family(f, model, extra, out, why));
            if (!*out && f->describe && find_mixers(f, &subject, (char[WHY_MAX]){0}))
                snprintf(nearest, sizeof nearest, "%.32s: %.400s", hy_hf_family_called(f), why);
        }
    return *out ? HY_OK
                : hy_fail(HY_ERR_USAGE, "no published family can say this model, so it cannot be exported (%s)",
                          nearest);
}
