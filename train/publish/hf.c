/* config.json in and out: picks the family, lets it read the keys, and for a model that was made here lets the families try to write
 * one. Whether such a description is exact is decided by reading it back. */
#include "train/publish/hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/model_config_keys.h"
#include "train/publish/hf_family.h"

#define HY_X(family) &family,
static const hy_hf_family *const families[] = {HY_HF_FAMILIES(HY_X)};
#undef HY_X
enum { N_FAMILIES = sizeof families / sizeof families[0], CONFIG_MAX = 1 << 24 /* bytes */ };

/* Families that have such layers even where a key of their number is missing. */
static const char *const expert_families[] = {"kimi_linear", "minimax",          "minimax_m2", "mixtral",
                                              "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next"};

static bool has_experts(const json_t *config) {
    static const char *const keys[] = {"n_routed_experts", "num_experts", "num_local_experts"};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    for (size_t i = 0; type && i < sizeof expert_families / sizeof expert_families[0]; i++)
        if (strcmp(expert_families[i], type) == 0)
            return true;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (json_integer_value(json_object_get(config, keys[i])) > 0)
            return true;
    return false;
}

static hy_status find_family(const char *file, const json_t *config, const hy_hf_family **out) {
    const char *type = json_string_value(json_object_get(config, "model_type"));
    char known[1024] = "";
    if (has_experts(config) || has_experts(json_object_get(config, "text_config")))
        return hy_fail(HY_ERR_USAGE, "%s: model_type %s has mixture-of-experts layers, which are not supported yet",
                       file, type ? type : "(absent)");
    for (int i = 0; i < N_FAMILIES; i++) {
        if (type && strcmp(families[i]->model_type, type) == 0 && (!families[i]->is || families[i]->is(config))) {
            *out = families[i];
            return HY_OK;
        }
        size_t used = strlen(known);
        int same = 0; /* two libraries may share a name */
        while (strcmp(families[same]->model_type, families[i]->model_type) != 0)
            same++;
        if (same == i)
            snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", families[i]->model_type);
    }
    return hy_fail(HY_ERR_USAGE, "%s: model_type %s is not supported; these are: %s", file, type ? type : "(absent)",
                   known);
}

static hy_status understand(const char *name, hy_hf *hf) {
    hf->json = hy_hf_load_json(name, hf->text, hf->len);
    if (!hf->json)
        return HY_ERR_DATA;
    HY_TRY(find_family(name, hf->json, &hf->family));
    hf->form = hf->family;
    hy_hf_reader reader = {name, "", hf->json, HY_OK};
    hy_model_config_init(&hf->model);
    snprintf(hf->model.family, sizeof hf->model.family, "%s", hf->family->model_type);
    hf->family->read(&reader, &hf->model);
    HY_TRY(reader.status);
    return hy_model_config_resolve(&hf->model);
}

hy_status hy_hf_parse(const char *name, const char *text, size_t len, hy_hf **out) {
    hy_hf *hf;
    HY_TRY(HY_NEW("published model", 1, &hf));
    hy_status status = HY_NEW("config.json", len + 1, &hf->text);
    if (status == HY_OK) {
        memcpy(hf->text, text, len);
        hf->len = len;
        status = understand(name, hf);
    }
    if (status == HY_OK)
        *out = hf;
    else
        hy_hf_close(hf);
    return status;
}

hy_status hy_hf_open(const char *dir, hy_hf **out) {
    char path[HY_PATH_MAX], *text = NULL;
    size_t len;
    if (snprintf(path, sizeof path, "%s/config.json", dir) >= (int)sizeof path)
        return hy_fail(HY_ERR_DATA, "%s: path too long", dir);
    HY_TRY(hy_file_read(path, CONFIG_MAX, HY_ERR_DATA, &text, &len));
    hy_status status = hy_hf_parse(path, text, len, out);
    hy_free(text);
    return status;
}

void hy_hf_close(hy_hf *hf) {
    if (!hf)
        return;
    json_decref(hf->json);
    hy_safetensors_close(hf->rest);
    hy_free(hf->text);
    hy_free(hf);
}

const hy_model_config *hy_hf_model_config(const hy_hf *hf) {
    return &hf->model;
}

const char *hy_hf_config_text(const hy_hf *hf, size_t *len) {
    *len = hf->len;
    return hf->text;
}

/* What of a model's config is no mathematics of its own: the schedule and the mixers it names are compared layer by layer. */
static bool compared(const char *key) {
    static const char *const others[] = {"schedule.pattern", "schedule.overrides", "mixers",
                                         "family",           "init_std",           "mlp.ratio"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(key, others[i]) == 0)
            return false;
    return true;
}

static bool same_fields(const hy_schema *schema, const void *a, const void *b) {
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *e = &schema->entries[i];
        const char *x = (const char *)a + e->offset, *y = (const char *)b + e->offset;
        if (compared(e->key) && (e->kind == HY_SCHEMA_KIND_STRING ? strcmp(x, y) : memcmp(x, y, e->size)) != 0)
            return false;
    }
    return true;
}

bool hy_hf_fits(const hy_hf *hf, const hy_model_config *model) {
    const hy_model_config *a = &hf->model, *b = model;
    bool same = same_fields(&hy_model_schema, a, b);
    for (int64_t l = 0; l < a->layers && same; l++)
        same = same_fields(&hy_mixer_schema, &a->mixers[a->layer_mixer[l]], &b->mixers[b->layer_mixer[l]]);
    return same;
}

/* *out becomes a description by this family that says exactly the same, or stays NULL. */
static hy_status try_family(const hy_hf_family *family, const hy_model_config *model, hy_hf **out) {
    json_t *json = family->describe ? family->describe(model) : NULL;
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text)
        return HY_OK;
    hy_hf *hf = NULL;
    hy_status status = hy_hf_parse("config.json to be written", text, strlen(text), &hf);
    free(text);
    HY_TRY(status);
    if (hy_hf_fits(hf, model))
        *out = hf;
    else
        hy_hf_close(hf);
    return HY_OK;
}

hy_status hy_hf_describe(const hy_model_config *model, hy_hf **out) {
    *out = NULL;
    for (int own = 1; own >= 0; own--) /* first the family that the model came from */
        for (int i = 0; i < N_FAMILIES && !*out; i++)
            if (own == (strcmp(families[i]->model_type, model->family) == 0))
                HY_TRY(try_family(families[i], model, out));
    if (*out)
        return HY_OK;
    return hy_fail(HY_ERR_USAGE,
                   "no published family has this schedule of mixers with these options: the model cannot be exported");
}
