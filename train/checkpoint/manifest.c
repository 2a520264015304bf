#include "train/checkpoint/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/product.h"
#include "train/checkpoint/manifest_data.h"

enum { MANIFEST_VERSION = 1 };
#define MANIFEST_BYTES_MAX ((size_t)1 << 30)

static hy_status manifest_path(const char *folder, char path[HY_PATH_MAX]) {
    if (snprintf(path, HY_PATH_MAX, "%s/manifest.json", folder) >= HY_PATH_MAX) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", folder);
    }
    return HY_OK;
}

void hy_manifest_fini(hy_manifest *m) {
    for (int64_t i = 0; i < m->n_files && m->files; i++) {
        hy_free(m->files[i].slices);
    }
    for (int64_t i = 0; i < m->n_attachments; i++) {
        hy_free(m->attachments[i].text);
    }
    hy_free(m->files);
    hy_free(m->tensors);
    hy_free(m->config);
    hy_free(m->stores);
    *m = (hy_manifest){0};
}

/* ---- writing ---- */

static void write_hash(hy_json *j, const char *key, uint64_t hash) {
    char text[17];
    hy_hash_format(hash, text);
    hy_json_string(j, key, text);
}

static void write_file_entry(hy_json *j, const hy_manifest_file *f) {
    hy_json_open_object(j, NULL);
    hy_json_string(j, "name", f->name);
    hy_json_int(j, "bytes", f->hash.size);
    write_hash(j, "xxh3", f->hash.xxh3);
    write_hash(j, "content", f->content);
    hy_json_open_array(j, "slices"); /* four numbers each: tensor, begin, count, at */
    for (int64_t s = 0; s < f->n_slices; s++) {
        hy_json_int(j, NULL, f->slices[s].tensor);
        hy_json_int(j, NULL, f->slices[s].begin);
        hy_json_int(j, NULL, f->slices[s].count);
        hy_json_int(j, NULL, f->slices[s].at);
    }
    hy_json_close(j);
    hy_json_close(j);
}

static hy_status write_manifest_json(const hy_manifest *m, FILE *file) {
    hy_json j;
    hy_json_begin(&j, file);
    hy_json_open_object(&j, NULL);
    hy_json_int(&j, "version", MANIFEST_VERSION);
    hy_json_int(&j, "step", m->progress.step);
    hy_json_int(&j, "updates", m->progress.updates);
    hy_json_int(&j, "skipped", m->progress.skipped);
    hy_json_int(&j, "empty", m->progress.empty);
    hy_json_int(&j, "bad_in_row", m->progress.bad_in_row);
    hy_json_int(&j, "world", m->world);
    hy_json_bool(&j, "optimizer", m->optimizer);
    hy_json_open_array(&j, "tensors");
    for (int64_t i = 0; i < m->n_tensors; i++) {
        hy_json_open_object(&j, NULL);
        hy_json_string(&j, "name", m->tensors[i].name);
        hy_json_int(&j, "size", m->tensors[i].size);
        hy_json_close(&j);
    }
    hy_json_close(&j);
    hy_json_open_array(&j, "files");
    for (int64_t i = 0; i < m->n_files; i++) {
        write_file_entry(&j, &m->files[i]);
    }
    hy_json_close(&j);
    hy_json_string(&j, "tokenizer", m->tokenizer);
    hy_json_string(&j, "config", m->config);
    if (m->stores != NULL) {
        hy_json_string(&j, "stores", m->stores);
    }
    if (m->progress.data.n_stores > 0) {
        hy_manifest_data_write(&j, &m->progress.data);
    }
    hy_json_open_array(&j, "attachments");
    for (int64_t i = 0; i < m->n_attachments; i++) {
        hy_json_open_object(&j, NULL);
        hy_json_string(&j, "name", m->attachments[i].name);
        hy_json_string(&j, "text", m->attachments[i].text);
        hy_json_close(&j);
    }
    hy_json_close(&j);
    hy_json_close(&j);
    return hy_json_end(&j, HY_ERR_CHECKPOINT);
}

hy_status hy_manifest_format(const hy_manifest *m, char **text, size_t *length) {
    FILE *file = open_memstream(text, length);
    if (!file) {
        return hy_fail(HY_ERR_MEMORY, "no memory for the text of a manifest");
    }
    hy_status status = write_manifest_json(m, file);
    if (fclose(file) != 0 && status == HY_OK) {
        status = hy_fail(HY_ERR_MEMORY, "no memory for the text of a manifest");
    }
    if (status != HY_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

hy_status hy_manifest_write(const hy_manifest *m, const char *folder) {
    char path[HY_PATH_MAX];
    HY_TRY(manifest_path(folder, path));
    FILE *file = fopen(path, "w");
    if (!file) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: cannot be written: %s", path, strerror(errno));
    }
    hy_status status = write_manifest_json(m, file);
    if (fclose(file) != 0 && status == HY_OK) {
        status = hy_fail(HY_ERR_CHECKPOINT, "%s: cannot be written: %s", path, strerror(errno));
    }
    HY_TRY(status);
    HY_TRY(hy_file_sync(path, HY_ERR_CHECKPOINT));
    hy_file_hash hash;
    HY_TRY(hy_file_hash_compute(path, HY_ERR_CHECKPOINT, &hash));
    return hy_seal_write(path, &hash, HY_ERR_CHECKPOINT);
}

/* ---- reading: every accessor notes the first thing that is wrong ---- */

typedef struct reader {
    const char *path;
    hy_status status;
} reader;

static void wrong_manifest(reader *r, const char *what) {
    if (r->status == HY_OK) {
        r->status = hy_fail(HY_ERR_CHECKPOINT, "%s: '%s' is missing or makes no sense", r->path, what);
    }
}

/* Counts and sizes: none that could overflow in what is done with them. */
static int64_t integer(reader *r, const json_t *value, const char *what, int64_t least) {
    if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > HY_PRODUCT_MAX) {
        wrong_manifest(r, what);
        return least;
    }
    return json_integer_value(value);
}

static const char *string(reader *r, const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    if (!text) {
        wrong_manifest(r, key);
    }
    return text ? text : "";
}

static void short_string(reader *r, const json_t *object, const char *key, char *out, size_t size) {
    if (snprintf(out, size, "%s", string(r, object, key)) >= (int)size) {
        wrong_manifest(r, key);
    }
}

static char *long_string(reader *r, const json_t *object, const char *key) {
    const char *text = string(r, object, key);
    void *copy = NULL;
    hy_status status = hy_alloc(key, strlen(text) + 1, &copy);
    if (status != HY_OK) {
        r->status = status;
        return NULL;
    }
    return strcpy(copy, text);
}

static uint64_t hash(reader *r, const json_t *object, const char *key) {
    uint64_t value = 0;
    if (!hy_hash_parse(string(r, object, key), &value)) {
        wrong_manifest(r, key);
    }
    return value;
}

static const json_t *array(reader *r, const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_array(value)) {
        wrong_manifest(r, key);
    }
    return value;
}

static void read_tensors(reader *r, const json_t *root, hy_manifest *m) {
    const json_t *list = array(r, root, "tensors");
    int64_t n = (int64_t)json_array_size(list);
    if (r->status != HY_OK || (r->status = HY_NEW("manifest tensors", n, &m->tensors)) != HY_OK) {
        return;
    }
    m->n_tensors = n;
    for (int64_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        short_string(r, item, "name", m->tensors[i].name, sizeof(m->tensors[i].name));
        m->tensors[i].size = integer(r, json_object_get(item, "size"), "size", 0);
    }
}

static void read_slices(reader *r, const json_t *item, const hy_manifest *m, hy_manifest_file *f) {
    const json_t *list = array(r, item, "slices");
    int64_t n = (int64_t)json_array_size(list) / 4;
    if (r->status != HY_OK || (r->status = HY_NEW("manifest slices", n, &f->slices)) != HY_OK) {
        return;
    }
    f->n_slices = n;
    for (int64_t i = 0; i < n; i++) {
        int64_t number[4];
        for (int64_t k = 0; k < 4; k++) {
            number[k] = integer(r, json_array_get(list, (size_t)(4 * i + k)), "slices", 0);
        }
        hy_slice s = {number[0], number[1], number[2], number[3]};
        if (s.tensor >= m->n_tensors || s.begin > m->tensors[s.tensor].size ||
            s.count > m->tensors[s.tensor].size - s.begin || s.at + s.count > f->hash.size) {
            wrong_manifest(r, "slices");
            return;
        }
        f->slices[i] = s;
    }
}

static void read_files(reader *r, const json_t *root, hy_manifest *m) {
    const json_t *list = array(r, root, "files");
    int64_t n = (int64_t)json_array_size(list);
    if (r->status != HY_OK || (r->status = HY_NEW("manifest files", n, &m->files)) != HY_OK) {
        return;
    }
    m->n_files = n;
    for (int64_t i = 0; i < n && r->status == HY_OK; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        hy_manifest_file *f = &m->files[i];
        short_string(r, item, "name", f->name, sizeof(f->name));
        if (f->name[0] == '\0' || f->name[0] == '.' || strchr(f->name, '/')) {
            wrong_manifest(r, "name");
        }
        f->hash.size = integer(r, json_object_get(item, "bytes"), "bytes", 0);
        f->hash.xxh3 = hash(r, item, "xxh3");
        f->content = hash(r, item, "content");
        read_slices(r, item, m, f);
    }
}

static void read_attachments(reader *r, const json_t *root, hy_manifest *m) {
    const json_t *list = array(r, root, "attachments");
    if (json_array_size(list) > HY_ATTACHMENTS_MAX) {
        wrong_manifest(r, "attachments");
        return;
    }
    for (size_t i = 0; i < json_array_size(list) && r->status == HY_OK; i++) {
        hy_attachment *a = &m->attachments[m->n_attachments++];
        short_string(r, json_array_get(list, i), "name", a->name, sizeof(a->name));
        a->text = long_string(r, json_array_get(list, i), "text");
    }
}

static void read_data(reader *r, const json_t *root, hy_manifest *m) {
    const json_t *object = json_object_get(root, "data");
    const char *what = object != NULL ? hy_manifest_data_read(object, &m->progress.data) : NULL;
    if (what != NULL) {
        wrong_manifest(r, what);
    }
}

static hy_status read_json(const char *path, const json_t *root, hy_manifest *m) {
    reader r = {path, HY_OK};
    if (integer(&r, json_object_get(root, "version"), "version", 0) != MANIFEST_VERSION && r.status == HY_OK) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: written by another version of hylas", path);
    }
    m->progress.step = integer(&r, json_object_get(root, "step"), "step", 0);
    m->progress.updates = integer(&r, json_object_get(root, "updates"), "updates", 0);
    m->progress.skipped = integer(&r, json_object_get(root, "skipped"), "skipped", 0);
    m->progress.empty = json_object_get(root, "empty") ? integer(&r, json_object_get(root, "empty"), "empty", 0) : 0;
    m->progress.bad_in_row = integer(&r, json_object_get(root, "bad_in_row"), "bad_in_row", 0);
    m->world = integer(&r, json_object_get(root, "world"), "world", 1);
    m->optimizer = json_is_true(json_object_get(root, "optimizer"));
    if (json_object_get(root, "tokenizer")) { /* manifests of before have none */
        short_string(&r, root, "tokenizer", m->tokenizer, sizeof(m->tokenizer));
    }
    m->config = long_string(&r, root, "config");
    m->stores = json_object_get(root, "stores") != NULL ? long_string(&r, root, "stores") : NULL;
    read_tensors(&r, root, m);
    read_files(&r, root, m);
    read_attachments(&r, root, m);
    read_data(&r, root, m);
    return r.status;
}

hy_status hy_manifest_parse(const char *name, const char *text, size_t length, hy_manifest *manifest) {
    hy_manifest m = {0};
    json_error_t error;
    json_t *root = json_loadb(text, length, 0, &error);
    const hy_status status =
        root ? read_json(name, root, &m) : hy_fail(HY_ERR_CHECKPOINT, "%s:%d: %s", name, error.line, error.text);
    json_decref(root);
    if (status != HY_OK) {
        hy_manifest_fini(&m);
        return status;
    }
    *manifest = m;
    return HY_OK;
}

hy_status hy_manifest_read(const char *folder, hy_manifest *manifest) {
    char path[HY_PATH_MAX], *text = NULL;
    size_t length;
    int sealed = 0;
    HY_TRY(manifest_path(folder, path));
    HY_TRY(hy_file_read(path, MANIFEST_BYTES_MAX, HY_ERR_CHECKPOINT, &text, &length));
    hy_status status = hy_seal_verify(path, HY_ERR_CHECKPOINT, &sealed);
    if (status == HY_OK && !sealed) {
        status = hy_fail(HY_ERR_CHECKPOINT, "%s: its hash (manifest.json.xxh3) is missing", path);
    }
    if (status == HY_OK) {
        status = hy_manifest_parse(path, text, length, manifest);
    }
    hy_free(text);
    return status;
}
