/* Reading safetensors: the header is parsed once and checked whole (every tensor's bytes follow from its shape, lie in the file,
 * overlap no other and leave no hole), so that reads need no further checks. */
#include "train/publish/safetensors.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/half.h"
#include "base/memory.h"

static const int64_t HEADER_MAX = 100000000; /* bytes; the format's own limit */
enum { SHARDS_MAX = 4096 };                  /* files of a model */

typedef struct st_file {
    char path[HY_PATH_MAX];
    int fd;
    int64_t data; /* offset of the first element */
} st_file;

struct hy_safetensors {
    int n_files;
    st_file *files;
    int64_t n;
    hy_safetensor *tensors;
    json_t **headers; /* [n_files]; own the names */
};

static const struct {
    const char *name;
    size_t size;
} types[] = {[HY_SAFETENSOR_F64] = {"F64", 8},
             [HY_SAFETENSOR_F32] = {"F32", 4},
             [HY_SAFETENSOR_F16] = {"F16", 2},
             [HY_SAFETENSOR_BF16] = {"BF16", 2},
             [HY_SAFETENSOR_OTHER] = {"other", 0}};

const char *hy_safetensor_type_name(hy_safetensor_type type) {
    return types[type].name;
}

size_t hy_safetensor_type_size(hy_safetensor_type type) {
    return types[type].size;
}

hy_safetensor_type hy_safetensor_type_parse(const char *name) {
    for (int i = 0; i < HY_SAFETENSOR_OTHER; i++)
        if (strcmp(types[i].name, name) == 0)
            return (hy_safetensor_type)i;
    return HY_SAFETENSOR_OTHER;
}

/* One header entry into *t. A tensor of another type keeps the bytes it claims. */
static hy_status parse_entry(const char *path, const char *name, json_t *entry, hy_safetensor *t) {
    json_t *type = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(type) || !json_is_array(shape) || json_array_size(offsets) != 2)
        return hy_fail(HY_ERR_DATA, "%s: tensor %s lacks dtype, shape or data_offsets", path, name);
    if (json_array_size(shape) > HY_SAFETENSOR_DIMS_MAX)
        return hy_fail(HY_ERR_DATA, "%s: tensor %s has more than %d dimensions", path, name, HY_SAFETENSOR_DIMS_MAX);
    t->name = name;
    t->type = hy_safetensor_type_parse(json_string_value(type));
    t->n_dims = (int)json_array_size(shape);
    t->size = 1;
    for (int i = 0; i < t->n_dims; i++) {
        json_t *dim = json_array_get(shape, (size_t)i);
        t->shape[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (t->shape[i] < 0 || (t->shape[i] > 0 && t->size > ((int64_t)1 << 56) / t->shape[i]))
            return hy_fail(HY_ERR_DATA, "%s: tensor %s has an impossible shape", path, name);
        t->size *= t->shape[i];
    }
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin))
        return hy_fail(HY_ERR_DATA, "%s: tensor %s has impossible data_offsets", path, name);
    t->begin = json_integer_value(begin);
    t->bytes = json_integer_value(end) - t->begin;
    if (t->type != HY_SAFETENSOR_OTHER && t->bytes != t->size * (int64_t)types[t->type].size)
        return hy_fail(HY_ERR_DATA, "%s: tensor %s has %lld bytes, its shape and type make %lld", path, name,
                       (long long)t->bytes, (long long)(t->size * (int64_t)types[t->type].size));
    return HY_OK;
}

static int by_place(const void *a, const void *b) {
    const hy_safetensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int tensors_by_name(const void *a, const void *b) {
    return strcmp(((const hy_safetensor *)a)->name, ((const hy_safetensor *)b)->name);
}

/* Sorted by place, the tensors must tile the `bytes` behind the header. */
static hy_status check_tiling(const char *path, hy_safetensor *tensors, int64_t n, int64_t bytes) {
    int64_t at = 0;
    qsort(tensors, (size_t)n, sizeof *tensors, by_place);
    for (int64_t i = 0; i < n; i++) {
        if (tensors[i].begin != at)
            return hy_fail(HY_ERR_DATA, "%s: tensor %s begins at byte %lld of the data, wanted %lld: overlap or hole",
                           path, tensors[i].name, (long long)tensors[i].begin, (long long)at);
        if (tensors[i].bytes > bytes - at)
            return hy_fail(HY_ERR_DATA, "%s: tensor %s ends beyond the file (truncated?)", path, tensors[i].name);
        at += tensors[i].bytes;
    }
    if (at != bytes)
        return hy_fail(HY_ERR_DATA, "%s: %lld bytes after the last tensor", path, (long long)(bytes - at));
    return HY_OK;
}

static hy_status read_exactly(const st_file *file, void *out, int64_t bytes, int64_t at) {
    for (int64_t done = 0; done < bytes;) {
        ssize_t got = pread(file->fd, (char *)out + done, (size_t)(bytes - done), (off_t)(at + done));
        if (got <= 0)
            return hy_fail(HY_ERR_DATA, "%s: cannot read %lld bytes at %lld", file->path, (long long)(bytes - done),
                           (long long)(at + done));
        done += got;
    }
    return HY_OK;
}

static hy_status load_header(st_file *file, int64_t *file_bytes, json_t **header) {
    struct stat info;
    unsigned char head[8];
    if (fstat(file->fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 8)
        return hy_fail(HY_ERR_DATA, "%s: too short for a safetensors file", file->path);
    HY_TRY(read_exactly(file, head, 8, 0));
    uint64_t len = 0;
    for (int i = 7; i >= 0; i--)
        len = len << 8 | head[i];
    if (len > (uint64_t)HEADER_MAX || (int64_t)len > info.st_size - 8)
        return hy_fail(HY_ERR_DATA, "%s: the header claims %llu bytes; not a safetensors file, or truncated",
                       file->path, (unsigned long long)len);
    char *text;
    HY_TRY(HY_NEW("safetensors header", len + 1, &text));
    hy_status status = read_exactly(file, text, (int64_t)len, 8);
    json_error_t error;
    json_t *json = status == HY_OK ? json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &error) : NULL;
    hy_free(text);
    HY_TRY(status);
    if (!json_is_object(json)) {
        json_decref(json);
        return hy_fail(HY_ERR_DATA, "%s: the header is no JSON object (%s)", file->path,
                       json ? "another value" : error.text);
    }
    file->data = 8 + (int64_t)len;
    *file_bytes = info.st_size;
    *header = json;
    return HY_OK;
}

/* Appends the tensors of file `index`. */
static hy_status add_file(hy_safetensors *set, int index) {
    st_file *file = &set->files[index];
    file->fd =
        open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is not waited for: it is no regular file */
    if (file->fd < 0)
        return hy_fail(HY_ERR_DATA, "%s: cannot be opened", file->path);
    int64_t bytes;
    HY_TRY(load_header(file, &bytes, &set->headers[index]));
    hy_safetensor *grown;
    HY_TRY(HY_NEW("safetensors entries", set->n + (int64_t)json_object_size(set->headers[index]), &grown));
    if (set->n > 0)
        memcpy(grown, set->tensors, (size_t)set->n * sizeof *grown);
    hy_free(set->tensors);
    set->tensors = grown;
    const char *name;
    json_t *entry;
    int64_t first = set->n;
    json_object_foreach(set->headers[index], name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        HY_TRY(parse_entry(file->path, name, entry, &grown[set->n]));
        grown[set->n++].file = index;
    }
    HY_TRY(check_tiling(file->path, grown + first, set->n - first, bytes - file->data));
    for (int64_t i = first; i < set->n; i++)
        grown[i].begin += file->data;
    return HY_OK;
}

static hy_status create_set(int n_files, hy_safetensors **out) {
    hy_safetensors *set;
    HY_TRY(HY_NEW("safetensors", 1, &set));
    hy_status status = HY_NEW("safetensors files", n_files, &set->files);
    if (status == HY_OK)
        status = HY_NEW("safetensors headers", n_files, &set->headers);
    if (status != HY_OK) {
        hy_safetensors_close(set);
        return status;
    }
    set->n_files = n_files;
    for (int i = 0; i < n_files; i++)
        set->files[i].fd = -1;
    *out = set;
    return HY_OK;
}

static hy_status add_all(hy_safetensors *set) {
    for (int i = 0; i < set->n_files; i++)
        HY_TRY(add_file(set, i));
    if (set->n > 0)
        qsort(set->tensors, (size_t)set->n, sizeof *set->tensors, tensors_by_name);
    for (int64_t i = 1; i < set->n; i++)
        if (strcmp(set->tensors[i - 1].name, set->tensors[i].name) == 0)
            return hy_fail(HY_ERR_DATA, "%s: tensor %s stands in two files", set->files[set->tensors[i].file].path,
                           set->tensors[i].name);
    return HY_OK;
}

hy_status hy_safetensors_open_file(const char *path, hy_safetensors **out) {
    hy_safetensors *set;
    HY_TRY(create_set(1, &set));
    hy_status status = HY_OK;
    if (snprintf(set->files[0].path, HY_PATH_MAX, "%s", path) >= HY_PATH_MAX)
        status = hy_fail(HY_ERR_DATA, "%s: path too long", path);
    if (status == HY_OK)
        status = add_all(set);
    if (status == HY_OK)
        *out = set;
    else
        hy_safetensors_close(set);
    return status;
}

static hy_status list_shards(const char *dir, const char *path, json_t *map, hy_safetensors *set) {
    const char *tensor, *before = "";
    json_t *value;
    int n = 0;
    json_object_foreach(map, tensor, value) {
        const char *shard = json_string_value(value);
        if (!shard)
            return hy_fail(HY_ERR_DATA, "%s: tensor %s is said to be in no file", path, tensor);
        if (strcmp(shard, before) == 0)
            continue;
        before = shard;
        char full[HY_PATH_MAX];
        HY_TRY(hy_file_inside(dir, shard, HY_ERR_DATA, full)); /* a name from a foreign file */
        int i = 0;
        while (i < n && strcmp(set->files[i].path, full) != 0)
            i++;
        if (i == set->n_files)
            return hy_fail(HY_ERR_DATA, "%s: more than %d files", path, SHARDS_MAX);
        if (i == n)
            memcpy(set->files[n++].path, full, sizeof full);
    }
    set->n_files = n;
    return HY_OK;
}

/* Every tensor of the index must be in the file it names, and no file may hold one that the index does not know. */
static hy_status check_index(const char *dir, const char *path, json_t *map, const hy_safetensors *set) {
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value) {
        const hy_safetensor *t = hy_safetensors_find(set, name);
        char full[HY_PATH_MAX];
        snprintf(full, sizeof full, "%s/%s", dir, json_string_value(value));
        if (!t || strcmp(set->files[t->file].path, full) != 0)
            return hy_fail(HY_ERR_DATA, "%s: tensor %s is not in %s", path, name, json_string_value(value));
    }
    for (int64_t i = 0; i < set->n; i++)
        if (!json_object_get(map, set->tensors[i].name))
            return hy_fail(HY_ERR_DATA, "%s: tensor %s of %s is not listed", path, set->tensors[i].name,
                           set->files[set->tensors[i].file].path);
    return HY_OK;
}

static hy_status open_index(const char *dir, const char *path, hy_safetensors **out) {
    json_error_t error;
    char *text = NULL;
    size_t len = 0;
    HY_TRY(hy_file_read(path, (size_t)HEADER_MAX, HY_ERR_DATA, &text, &len));
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    hy_free(text);
    json_t *map = json_object_get(json, "weight_map");
    hy_safetensors *set = NULL;
    hy_status status = HY_OK;
    if (!json_is_object(map))
        status =
            hy_fail(HY_ERR_DATA, "%s: no weight_map (%s)", path, json ? "not an index of safetensors" : error.text);
    /* As many places as tensors: more than there can be files. */
    if (status == HY_OK)
        status = create_set(json_object_size(map) < SHARDS_MAX ? (int)json_object_size(map) : SHARDS_MAX, &set);
    if (status == HY_OK)
        status = list_shards(dir, path, map, set);
    if (status == HY_OK)
        status = add_all(set);
    if (status == HY_OK)
        status = check_index(dir, path, map, set);
    json_decref(json);
    if (status == HY_OK)
        *out = set;
    else
        hy_safetensors_close(set);
    return status;
}

hy_status hy_safetensors_open(const char *dir, hy_safetensors **out) {
    char path[HY_PATH_MAX];
    struct stat info;
    if (snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir) >= (int)sizeof path)
        return hy_fail(HY_ERR_DATA, "%s: path too long", dir);
    if (stat(path, &info) == 0)
        return open_index(dir, path, out);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (stat(path, &info) != 0)
        return hy_fail(HY_ERR_DATA, "%s: holds neither model.safetensors nor model.safetensors.index.json", dir);
    return hy_safetensors_open_file(path, out);
}

void hy_safetensors_close(hy_safetensors *set) {
    if (!set)
        return;
    for (int i = 0; i < set->n_files; i++) {
        if (set->files && set->files[i].fd >= 0)
            close(set->files[i].fd);
        if (set->headers)
            json_decref(set->headers[i]);
    }
    hy_free(set->headers);
    hy_free(set->files);
    hy_free(set->tensors);
    hy_free(set);
}

const hy_safetensor *hy_safetensors_all(const hy_safetensors *set, int64_t *n) {
    *n = set->n;
    return set->tensors;
}

const hy_safetensor *hy_safetensors_find(const hy_safetensors *set, const char *name) {
    hy_safetensor key = {.name = name};
    return set->n == 0 ? NULL : bsearch(&key, set->tensors, (size_t)set->n, sizeof key, tensors_by_name);
}

static double decode_element(hy_safetensor_type type, const char *at) {
    uint16_t half;
    float single;
    double full;
    switch (type) {
    case HY_SAFETENSOR_F64:
        memcpy(&full, at, sizeof full);
        return full;
    case HY_SAFETENSOR_F32:
        memcpy(&single, at, sizeof single);
        return (double)single;
    case HY_SAFETENSOR_F16:
        memcpy(&half, at, sizeof half);
        return (double)hy_f16_to_float(half);
    default:
        memcpy(&half, at, sizeof half);
        return (double)hy_bf16_to_float(half);
    }
}

hy_status hy_safetensors_read(const hy_safetensors *set, const hy_safetensor *tensor, int64_t first, int64_t n,
                              hy_dtype dtype, void *out) {
    const st_file *file = &set->files[tensor->file];
    if (tensor->type == HY_SAFETENSOR_OTHER)
        return hy_fail(HY_ERR_DATA, "%s: tensor %s is of no type that can be read (F64, F32, F16, BF16)", file->path,
                       tensor->name);
    enum { BLOCK = 8192 };
    char block[BLOCK * 8];
    int64_t width = (int64_t)types[tensor->type].size;
    for (int64_t done = 0; done < n;) {
        int64_t count = n - done < BLOCK ? n - done : BLOCK;
        HY_TRY(read_exactly(file, block, count * width, tensor->begin + (first + done) * width));
        for (int64_t i = 0; i < count; i++) {
            double x = decode_element(tensor->type, block + i * width);
            if (dtype == HY_F64)
                ((double *)out)[done + i] = x;
            else
                ((float *)out)[done + i] = (float)x;
        }
        done += count;
    }
    return HY_OK;
}
