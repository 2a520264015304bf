/* config.json in: picks the family and lets it read the keys. */
#include "train/publish/hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/publish/hf_family.h"

#define HY_X(family) &family,
static const hy_hf_family *const families[] = {HY_HF_FAMILIES(HY_X)};
#undef HY_X
enum { N_FAMILIES = sizeof families / sizeof families[0], CONFIG_MAX = 1 << 24 /* bytes */ };

const hy_hf_family *hy_hf_family_at(int index) {
    return index < N_FAMILIES ? families[index] : NULL;
}

const char *hy_hf_family_called(const hy_hf_family *family) {
    return family->name ? family->name : family->model_type;
}

const char *hy_hf_family_name(const hy_hf *hf) {
    return hy_hf_family_called(hf->family);
}

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
    snprintf(hf->model.family, sizeof hf->model.family, "%s", hy_hf_family_name(hf));
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

/* Where the number behind the next such key begins, and its digits; NULL if there is none. */
static const char *next_positions(const char *text, size_t *digits) {
    static const char key[] = "\"max_position_embeddings\"";
    const char *at = strstr(text, key);
    if (!at)
        return NULL;
    at += sizeof key - 1;
    at += strspn(at, " \t\r\n:");
    *digits = strspn(at, "0123456789");
    return at;
}

hy_status hy_hf_allow_positions(hy_hf *hf, int64_t positions) {
    char *text = NULL;
    size_t digits, n = 0;
    HY_TRY(HY_NEW("config.json", 2 * hf->len + 1, &text)); /* a key is longer than any number */
    const char *rest = hf->text;
    for (const char *at; (at = next_positions(rest, &digits)) != NULL; rest = at + digits) {
        const bool fewer = digits > 0 && digits < 19 && strtoll(at, NULL, 10) < positions;
        memcpy(text + n, rest, (size_t)(at - rest));
        n += (size_t)(at - rest);
        n += (size_t)(fewer ? sprintf(text + n, "%lld", (long long)positions)
                            : sprintf(text + n, "%.*s", (int)digits, at));
    }
    strcpy(text + n, rest);
    hf->len = n + strlen(rest);
    hy_free(hf->text);
    hf->text = text;
    return HY_OK;
}
