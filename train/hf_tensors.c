/* Tensors between a published model's files and the flat array of parameters, by the bindings its family gives. Every parameter must
 * be found, in its shape, and no tensor may be left over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/hf.h"
#include "train/hf_family.h"
#include "train/safetensors.h"

void hy_hf_bind_whole(const hy_param *param, const char *name, hy_hf_binding *out) {
    *out = (hy_hf_binding){.n_dims = param->n_dims, .n_blocks = 1, .block_rows = param->shape[0]};
    snprintf(out->name, sizeof out->name, "%s", name);
    memcpy(out->shape, param->shape, sizeof out->shape);
}

typedef struct piece {
    hy_hf_binding binding;
    const hy_param *param;
    int64_t row; /* elements of a row */
} piece;

typedef struct tensor_map {
    int64_t n;
    piece *pieces;
} tensor_map;

static hy_status make_map(const hy_hf *hf, const hy_hf_family *form, const hy_model *model, tensor_map *map) {
    int64_t n_params;
    const hy_param *params = hy_model_params(model, &n_params);
    map->n = 0;
    HY_TRY(HY_NEW("tensor map", n_params * HY_HF_BINDINGS_MAX, &map->pieces));
    for (int64_t p = 0; p < n_params; p++) {
        hy_hf_binding bindings[HY_HF_BINDINGS_MAX];
        int n = form->bind(hf->json, &params[p], bindings);
        for (int i = 0; i < n; i++) {
            int64_t rows = params[p].shape[0];
            map->pieces[map->n++] = (piece){bindings[i], &params[p], rows > 0 ? params[p].size / rows : 0};
        }
    }
    return HY_OK;
}

static hy_status check_piece(const char *dir, const hy_safetensors *set, const piece *p, const hy_safetensor **tensor) {
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
            snprintf(want + strlen(want), sizeof want - strlen(want), d ? ",%lld" : "%lld", (long long)p->binding.shape[d]);
        return hy_fail(HY_ERR_DATA, "%s: tensor %s has shape [%s]%s, the config makes it [%s]", dir, p->binding.name, is,
                       t->type == other ? " and a type that cannot be read" : "", want);
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

static bool skipped(const hy_hf *hf, const char *name) {
    for (const char *const *pattern = hf->family->skip; pattern && *pattern; pattern++)
        if (matches(*pattern, name))
            return true;
    return hf->model.tied && strcmp(name, "lm_head.weight") == 0; /* stored twice: the embedding is the one that counts */
}

static hy_status check_surplus(const hy_hf *hf, const char *dir, const hy_safetensors *set, const tensor_map *map) {
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

static hy_status read_piece(const hy_safetensors *set, const hy_safetensor *tensor, const piece *p, hy_dtype dtype, void *flat) {
    const hy_hf_binding *b = &p->binding;
    for (int64_t i = 0; i < b->n_blocks; i++) {
        void *to = element_at(flat, dtype, p->param->offset + (b->param_row + i * b->param_stride) * p->row);
        HY_TRY(hy_safetensors_read(set, tensor, (b->file_row + i * b->file_stride) * p->row, b->block_rows * p->row, dtype, to));
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

static const hy_hf_family *form_of(const hy_hf *hf, const json_t *names) {
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

hy_status hy_hf_read_params(hy_hf *hf, const char *dir, const hy_model *model, hy_dtype dtype, void *flat, char **types) {
    hy_safetensors *set = NULL;
    tensor_map map = {0};
    HY_TRY(hy_safetensors_open(dir, &set));
    json_t *names = list_types(set);
    hf->form = form_of(hf, names);
    hy_status status = make_map(hf, hf->form, model, &map);
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

typedef struct writer {
    const tensor_map *map;
    hy_dtype dtype;
    const void *flat;
} writer;

/* Where file row `row` of a tensor lies in the flat array, and how many rows follow it there; −1 if no piece covers it. */
static int64_t locate(const tensor_map *map, const char *name, int64_t row, int64_t *rows, int64_t *row_size) {
    for (int64_t i = 0; i < map->n; i++) {
        const piece *p = &map->pieces[i];
        const hy_hf_binding *b = &p->binding;
        for (int64_t k = 0; strcmp(b->name, name) == 0 && k < b->n_blocks; k++) {
            int64_t inside = row - (b->file_row + k * b->file_stride);
            if (inside >= 0 && inside < b->block_rows) {
                *rows = b->block_rows - inside;
                *row_size = p->row;
                return p->param->offset + (b->param_row + k * b->param_stride + inside) * p->row;
            }
        }
    }
    return -1;
}

static hy_status give_elements(void *context, const hy_safetensor *tensor, int64_t first, int64_t n, hy_dtype dtype, void *out) {
    const writer *w = context;
    int64_t row_size = tensor->shape[0] > 0 ? tensor->size / tensor->shape[0] : 1, rows = 0;
    for (int64_t done = 0; done < n;) {
        int64_t row = (first + done) / row_size, inside = (first + done) % row_size;
        int64_t at = locate(w->map, tensor->name, row, &rows, &row_size);
        if (at < 0)
            return hy_fail(HY_ERR_FAILED, "tensor %s: row %lld belongs to no parameter", tensor->name, (long long)row);
        int64_t count = rows * row_size - inside < n - done ? rows * row_size - inside : n - done;
        for (int64_t i = 0; i < count; i++) {
            double x = w->dtype == HY_F64 ? ((const double *)w->flat)[at + inside + i] : (double)((const float *)w->flat)[at + inside + i];
            if (dtype == HY_F64)
                ((double *)out)[done + i] = x;
            else
                ((float *)out)[done + i] = (float)x;
        }
        done += count;
    }
    return HY_OK;
}

/* One entry for each tensor that the pieces name. */
static int64_t list_tensors(const tensor_map *map, const json_t *types, hy_safetensor *tensors) {
    int64_t n = 0;
    for (int64_t i = 0; i < map->n; i++) {
        const hy_hf_binding *b = &map->pieces[i].binding;
        int64_t k = 0;
        while (k < n && strcmp(tensors[k].name, b->name) != 0)
            k++;
        if (k < n)
            continue;
        const char *type = json_string_value(json_object_get(types, b->name));
        tensors[n] = (hy_safetensor){.name = b->name, .type = HY_SAFETENSOR_F32, .n_dims = b->n_dims};
        if (type && hy_safetensor_type_parse(type) != HY_SAFETENSOR_OTHER)
            tensors[n].type = hy_safetensor_type_parse(type);
        memcpy(tensors[n].shape, b->shape, sizeof b->shape);
        n++;
    }
    return n;
}

static hy_status visit_one(const writer *w, hy_safetensor *tensor, hy_hf_visit visit, void *context) {
    void *data = NULL;
    tensor->size = 1;
    for (int d = 0; d < tensor->n_dims; d++)
        tensor->size *= tensor->shape[d];
    HY_TRY(hy_alloc("published tensor", (size_t)tensor->size * hy_dtype_size(w->dtype), &data));
    hy_status status = give_elements((void *)w, tensor, 0, tensor->size, w->dtype, data);
    if (status == HY_OK)
        status = visit(context, tensor->name, tensor->n_dims, tensor->shape, data);
    hy_free(data);
    return status;
}

hy_status hy_hf_visit_tensors(const hy_hf *hf, const hy_model *model, hy_dtype dtype, const void *flat, hy_hf_visit visit, void *context) {
    tensor_map map = {0};
    hy_safetensor *tensors = NULL;
    writer w = {&map, dtype, flat};
    hy_status status = make_map(hf, hf->form, model, &map);
    if (status == HY_OK)
        status = HY_NEW("published tensors", map.n, &tensors);
    int64_t n = status == HY_OK ? list_tensors(&map, NULL, tensors) : 0;
    for (int64_t i = 0; i < n && status == HY_OK; i++)
        status = visit_one(&w, &tensors[i], visit, context);
    hy_free(tensors);
    hy_free(map.pieces);
    return status;
}

/* Of an imported model: tensors of the original that are no parameters here are not written. */
static void warn_left_out(const json_t *types, const hy_safetensor *tensors, int64_t n, const char *path) {
    const char *name, *example = NULL;
    json_t *type;
    int64_t left = 0;
    json_object_foreach((json_t *)types, name, type) {
        int64_t i = 0;
        while (i < n && strcmp(tensors[i].name, name) != 0)
            i++;
        if (i == n) {
            example = name;
            left++;
        }
    }
    if (left > 0)
        hy_warn("%s: %lld tensors of the imported model are no part of this one and not written, such as %s", path, (long long)left, example);
}

static hy_status write_tensors(const tensor_map *map, const char *path, hy_dtype dtype, const void *flat, const json_t *types) {
    hy_safetensor *tensors = NULL;
    writer w = {map, dtype, flat};
    HY_TRY(HY_NEW("tensors to write", map->n, &tensors));
    int64_t n = list_tensors(map, types, tensors);
    warn_left_out(types, tensors, n, path);
    hy_status status = hy_safetensors_write(path, tensors, n, give_elements, &w);
    hy_free(tensors);
    return status;
}

hy_status hy_hf_write(const hy_hf *hf, const char *dir, const hy_model *model, hy_dtype dtype, const void *flat, const char *types) {
    char path[HY_PATH_MAX];
    tensor_map map = {0};
    HY_TRY(hy_file_make_dirs(dir, HY_ERR_DATA));
    if (snprintf(path, sizeof path, "%s/model.safetensors", dir) >= (int)sizeof path)
        return hy_fail(HY_ERR_DATA, "%s: path too long", dir);
    json_t *json = types ? json_loads(types, 0, NULL) : NULL;
    hy_status status = make_map(hf, form_of(hf, json), model, &map);
    if (status == HY_OK)
        status = write_tensors(&map, path, dtype, flat, json);
    json_decref(json);
    hy_free(map.pieces);
    HY_TRY(status);
    snprintf(path, sizeof path, "%s/config.json", dir);
    return hy_file_write_atomic(path, hf->text, hf->len, HY_ERR_DATA);
}
