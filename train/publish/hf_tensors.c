/* Tensors from a published model's files into the flat array of parameters, by the bindings its family gives. Every parameter must
 * be found, in its shape, and no tensor may be left over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "train/publish/hf.h"
#include "train/publish/hf_tensors.h"

void hy_hf_bind_whole(const hy_param *param, const char *name, hy_hf_binding *out) {
    *out = (hy_hf_binding){.n_dims = param->n_dims, .n_blocks = 1, .block_rows = param->shape[0]};
    snprintf(out->name, sizeof out->name, "%s", name);
    memcpy(out->shape, param->shape, sizeof out->shape);
}

int hy_hf_bind_renamed(const hy_param *param, const hy_hf_rename *renames, hy_hf_binding *out) {
    char name[sizeof out->name], next[sizeof out->name];
    snprintf(name, sizeof name, "%s", param->name);
    for (const hy_hf_rename *r = renames; r->ours; r++) {
        const char *at = strstr(name, r->ours);
        if (at) {
            snprintf(next, sizeof next, "%.*s%s%s", (int)(at - name), name, r->theirs, at + strlen(r->ours));
            memcpy(name, next, sizeof name);
        }
    }
    hy_hf_bind_whole(param, name, out);
    return 1;
}

static int bind_backbone(const hy_param *param, const char *norm, hy_hf_binding *out) {
    const hy_hf_rename names[] = {{"model.embeddings.", "backbone.embeddings."},
                                  {"model.norm.", "backbone.norm_f."},
                                  {"model.layers.", "backbone.layers."},
                                  {".attn_norm.", norm},
                                  {".attn.", ".mixer."},
                                  {NULL, NULL}};
    return hy_hf_bind_renamed(param, names, out);
}

int hy_hf_bind_backbone_norm(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    (void)config;
    return bind_backbone(param, ".norm.", out);
}

int hy_hf_bind_backbone_mixer_norm(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    (void)config;
    return bind_backbone(param, ".mixer_norm.", out);
}

hy_status hy_hf_map_create(const hy_hf *hf, const hy_hf_family *form, const hy_model *model, hy_hf_map *map) {
    int64_t n_params;
    const hy_param *params = hy_model_params(model, &n_params);
    map->n = 0;
    HY_TRY(HY_NEW("tensor map", n_params * HY_HF_BINDINGS_MAX, &map->pieces));
    for (int64_t p = 0; p < n_params; p++) {
        hy_hf_binding bindings[HY_HF_BINDINGS_MAX];
        int n = form->bind(hf->json, &params[p], bindings);
        for (int i = 0; i < n; i++) {
            int64_t rows = params[p].shape[0];
            map->pieces[map->n++] = (hy_hf_piece){bindings[i], &params[p], rows > 0 ? params[p].size / rows : 0};
        }
    }
    return HY_OK;
}

static hy_status check_piece(const char *dir, const hy_safetensors *set, const hy_hf_piece *p,
                             const hy_safetensor **tensor) {
    hy_safetensor_type other = HY_SAFETENSOR_OTHER;
    const hy_safetensor *t = hy_safetensors_find(set, p->binding.name);
    if (!t)
        return hy_fail(HY_ERR_DATA, "%s: tensor %s is missing", dir, p->binding.name);
    bool same = t->n_dims == p->binding.n_dims;
    for (int d = 0; d < t->n_dims && same; d++)
        same = t->shape[d] == p->binding.shape[d];
    if (!same || t->type == other) {
        char is[160] = "", want[160] = "";
        for (int d = 0; d < t->n_dims; d++)
            snprintf(is + strlen(is), sizeof is - strlen(is), d ? ",%lld" : "%lld", (long long)t->shape[d]);
        for (int d = 0; d < p->binding.n_dims; d++)
            snprintf(want + strlen(want), sizeof want - strlen(want), d ? ",%lld" : "%lld",
                     (long long)p->binding.shape[d]);
        return hy_fail(HY_ERR_DATA, "%s: tensor %s has shape [%s]%s, the config makes it [%s]", dir, p->binding.name,
                       is, t->type == other ? " and a type that cannot be read" : "", want);
    }
    *tensor = t;
    return HY_OK;
}

/* '*' matches any text. */
static bool matches(const char *pattern, const char *name) {
    if (*pattern == '*')
        return matches(pattern + 1, name) || (*name && matches(pattern, name + 1));
    return *pattern == *name && (!*name || matches(pattern + 1, name + 1));
}

bool hy_hf_skips(const hy_hf *hf, const char *name) {
    for (const char *const *pattern = hf->family->skip; pattern && *pattern; pattern++)
        if (matches(*pattern, name))
            return true;
    return false;
}

static bool skipped(const hy_hf *hf, const char *name) {
    return hy_hf_skips(hf, name) || (hf->model.tied && strcmp(name, "lm_head.weight") ==
                                                           0); /* stored twice: the embedding is the one that counts */
}

static hy_status check_surplus(const hy_hf *hf, const char *dir, const hy_safetensors *set, const hy_hf_map *map) {
    int64_t n, surplus = 0;
    const hy_safetensor *all = hy_safetensors_all(set, &n);
    char names[400] = "";
    for (int64_t i = 0; i < n; i++) {
        bool used = skipped(hf, all[i].name);
        for (int64_t p = 0; p < map->n && !used; p++)
            used = strcmp(map->pieces[p].binding.name, all[i].name) == 0;
        size_t len = strlen(names);
        if (!used && surplus++ < 3)
            snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", all[i].name);
    }
    if (surplus == 0)
        return HY_OK;
    return hy_fail(HY_ERR_DATA, "%s: %lld tensors that a model of type %s does not have: %s%s", dir, (long long)surplus,
                   hf->family->model_type, names, surplus > 3 ? ", ..." : "");
}

static void *element_at(void *flat, hy_dtype dtype, int64_t index) {
    return (char *)flat + (size_t)index * hy_dtype_size(dtype);
}

static hy_status read_piece(const hy_safetensors *set, const hy_safetensor *tensor, const hy_hf_piece *p,
                            hy_dtype dtype, void *flat) {
    const hy_hf_binding *b = &p->binding;
    for (int64_t i = 0; i < b->n_blocks; i++) {
        void *to = element_at(flat, dtype, p->param->offset + (b->param_row + i * b->param_stride) * p->row);
        HY_TRY(hy_safetensors_read(set, tensor, (b->file_row + i * b->file_stride) * p->row, b->block_rows * p->row,
                                   dtype, to));
    }
    return HY_OK;
}

/* Element type by tensor name. */
static json_t *list_types(const hy_safetensors *set) {
    int64_t n;
    const hy_safetensor *all = hy_safetensors_all(set, &n);
    json_t *json = json_object();
    for (int64_t i = 0; i < n; i++)
        json_object_set_new(json, all[i].name, json_string(hy_safetensor_type_name(all[i].type)));
    return json;
}

static hy_status write_types(const json_t *json, char **types) {
    char *text = json_dumps(json, JSON_COMPACT), *copy;
    if (!text)
        return hy_fail(HY_ERR_MEMORY, "no memory for the list of tensor types");
    hy_status status = HY_NEW("tensor types", strlen(text) + 1, &copy);
    if (status == HY_OK) {
        memcpy(copy, text, strlen(text) + 1);
        *types = copy;
    }
    free(text);
    return status;
}

const hy_hf_family *hy_hf_form_of(const hy_hf *hf, const json_t *names) {
    return names && hf->family->form ? hf->family->form(names) : hf->form;
}

hy_status hy_hf_stored_dtype(const char *dir, hy_dtype *dtype) {
    hy_safetensors *set = NULL;
    int64_t n;
    HY_TRY(hy_safetensors_open(dir, &set));
    const hy_safetensor *all = hy_safetensors_all(set, &n);
    *dtype = HY_F32;
    for (int64_t i = 0; i < n; i++)
        if (all[i].type == HY_SAFETENSOR_F64)
            *dtype = HY_F64;
    hy_safetensors_close(set);
    return HY_OK;
}

hy_status hy_hf_read_params(hy_hf *hf, const char *dir, const hy_model *model, hy_dtype dtype, void *flat,
                            char **types) {
    hy_safetensors *set = NULL;
    hy_hf_map map = {0};
    HY_TRY(hy_safetensors_open(dir, &set));
    json_t *names = list_types(set);
    hf->form = hy_hf_form_of(hf, names);
    hy_status status = hy_hf_map_create(hf, hf->form, model, &map);
    if (status == HY_OK)
        status = check_surplus(hf, dir, set, &map);
    for (int64_t i = 0; i < map.n && status == HY_OK; i++) {
        const hy_safetensor *tensor = NULL;
        status = check_piece(dir, set, &map.pieces[i], &tensor);
        if (status == HY_OK)
            status = read_piece(set, tensor, &map.pieces[i], dtype, flat);
    }
    if (status == HY_OK && types)
        status = write_types(names, types);
    json_decref(names);
    hy_free(map.pieces);
    hy_safetensors_close(set);
    return status;
}
