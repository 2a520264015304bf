/* The way back: tensors of a published model's files out of the flat array, in the order of our parameters, each gathered from the pieces
 * that name it. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/publish/hf.h"
#include "train/publish/hf_tensors.h"

typedef struct writer {
    const hy_hf_map *map;
    hy_dtype dtype;
    const void *flat;
    const hy_safetensors *rest; /* what the original holds besides, or NULL */
} writer;

/* Where file row `row` of a tensor lies in the flat array, and how many rows follow it there; −1 if no piece covers it. */
static int64_t locate(const hy_hf_map *map, const char *name, int64_t row, int64_t *rows, int64_t *row_size) {
    for (int64_t i = 0; i < map->n; i++) {
        const hy_hf_piece *p = &map->pieces[i];
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

static hy_status give_elements(void *context, const hy_safetensor *tensor, int64_t first, int64_t n, hy_dtype dtype,
                               void *out) {
    const writer *w = context;
    int64_t row_size = tensor->shape[0] > 0 ? tensor->size / tensor->shape[0] : 1, rows = 0;
    for (int64_t done = 0; done < n;) {
        int64_t row = (first + done) / row_size, inside = (first + done) % row_size;
        int64_t at = locate(w->map, tensor->name, row, &rows, &row_size);
        if (at < 0 && w->rest && hy_safetensors_find(w->rest, tensor->name))
            return hy_safetensors_read(w->rest, hy_safetensors_find(w->rest, tensor->name), first, n, dtype, out);
        if (at < 0)
            return hy_fail(HY_ERR_FAILED, "tensor %s: row %lld belongs to no parameter", tensor->name, (long long)row);
        int64_t count = rows * row_size - inside < n - done ? rows * row_size - inside : n - done;
        for (int64_t i = 0; i < count; i++) {
            double x = w->dtype == HY_F64 ? ((const double *)w->flat)[at + inside + i]
                                          : (double)((const float *)w->flat)[at + inside + i];
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
static int64_t list_tensors(const hy_hf_map *map, const json_t *types, hy_safetensor *tensors) {
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

hy_status hy_hf_visit_tensors(const hy_hf *hf, const hy_model *model, hy_dtype dtype, const void *flat,
                              hy_hf_visit visit, void *context) {
    hy_hf_map map = {0};
    hy_safetensor *tensors = NULL;
    writer w = {.map = &map, .dtype = dtype, .flat = flat};
    hy_status status = hy_hf_map_create(hf, hf->form, model, &map);
    if (status == HY_OK)
        status = HY_NEW("published tensors", map.n, &tensors);
    int64_t n = status == HY_OK ? list_tensors(&map, NULL, tensors) : 0;
    for (int64_t i = 0; i < n && status == HY_OK; i++)
        status = visit_one(&w, &tensors[i], visit, context);
    hy_free(tensors);
    hy_free(map.pieces);
    return status;
}

/* Appends the tensors of the original that are no parameters here. */
static int64_t list_rest(const hy_hf *hf, hy_safetensor *tensors, int64_t n) {
    int64_t count = 0;
    const hy_safetensor *all = hf->rest ? hy_safetensors_all(hf->rest, &count) : NULL;
    for (int64_t i = 0; i < count; i++)
        if (hy_hf_skips(hf, all[i].name) && all[i].type != HY_SAFETENSOR_OTHER)
            tensors[n++] = all[i];
    return n;
}

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
        hy_warn("%s: %lld tensors of the imported model are no part of this one and not written, such as %s", path,
                (long long)left, example);
}

static hy_status write_tensors(const hy_hf *hf, const hy_hf_map *map, const char *path, const writer *w,
                               const json_t *types) {
    hy_safetensor *tensors = NULL;
    int64_t n_rest = 0;
    if (hf->rest)
        hy_safetensors_all(hf->rest, &n_rest);
    HY_TRY(HY_NEW("tensors to write", map->n + n_rest, &tensors));
    int64_t n = list_rest(hf, tensors, list_tensors(map, types, tensors));
    warn_left_out(types, tensors, n, path);
    hy_status status = hy_safetensors_write(path, tensors, n, give_elements, (void *)(uintptr_t)w);
    hy_free(tensors);
    return status;
}

hy_status hy_hf_take_rest(hy_hf *hf, const char *dir) {
    return hy_safetensors_open(dir, &hf->rest);
}

hy_status hy_hf_write(const hy_hf *hf, const char *dir, const hy_model *model, hy_dtype dtype, const void *flat,
                      const char *types) {
    char path[HY_PATH_MAX];
    hy_hf_map map = {0};
    HY_TRY(hy_file_make_dirs(dir, HY_ERR_DATA));
    if (snprintf(path, sizeof path, "%s/model.safetensors", dir) >= (int)sizeof path)
        return hy_fail(HY_ERR_DATA, "%s: path too long", dir);
    json_t *json = types ? json_loads(types, 0, NULL) : NULL;
    hy_status status = hy_hf_map_create(hf, hy_hf_form_of(hf, json), model, &map);
    writer w = {.map = &map, .dtype = dtype, .flat = flat, .rest = hf->rest};
    if (status == HY_OK)
        status = write_tensors(hf, &map, path, &w, json);
    json_decref(json);
    hy_free(map.pieces);
    HY_TRY(status);
    snprintf(path, sizeof path, "%s/config.json", dir);
    return hy_file_write_atomic(path, hf->text, hf->len, HY_ERR_DATA);
}
