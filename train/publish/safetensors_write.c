/* Writing safetensors as the format's own library does: header as compact JSON with the metadata {"format":"pt"} first, padded with
 * blanks to a multiple of 8 bytes; tensors by falling element size, then by name. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/half.h"
#include "train/publish/safetensors.h"

static int by_width_then_name(const void *a, const void *b) {
    const hy_safetensor *x = a, *y = b;
    size_t wx = hy_safetensor_type_size(x->type), wy = hy_safetensor_type_size(y->type);
    if (wx != wy)
        return wx > wy ? -1 : 1;
    return strcmp(x->name, y->name);
}

static json_t *entry_json(const hy_safetensor *t) {
    json_t *shape = json_array();
    for (int i = 0; i < t->n_dims; i++)
        json_array_append_new(shape, json_integer(t->shape[i]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", hy_safetensor_type_name(t->type), "shape", shape, "data_offsets",
                     (json_int_t)t->begin, (json_int_t)(t->begin + t->bytes));
}

/* The header's text, from malloc; NULL if memory is short. */
static char *header_text(hy_safetensor *tensors, int64_t n) {
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    bool ok = header != NULL;
    for (int64_t i = 0; i < n && ok; i++)
        ok = json_object_set_new(header, tensors[i].name, entry_json(&tensors[i])) == 0;
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

static hy_status write_failed(const char *path) {
    return hy_fail(HY_ERR_DATA, "%s: cannot be written: %s", path, strerror(errno));
}

static hy_status write_header(const char *path, FILE *file, hy_safetensor *tensors, int64_t n) {
    char *text = header_text(tensors, n);
    if (!text)
        return hy_fail(HY_ERR_MEMORY, "%s: no memory for the header", path);
    uint64_t len = strlen(text), padded = (len + 7) / 8 * 8;
    unsigned char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)(padded >> (8 * i));
    bool ok = fwrite(head, 1, 8, file) == 8 && fwrite(text, 1, len, file) == len;
    for (uint64_t i = len; i < padded && ok; i++)
        ok = fputc(' ', file) != EOF;
    free(text);
    return ok ? HY_OK : write_failed(path);
}

/* n floats become halves in place. */
static void narrow(hy_safetensor_type type, void *block, int64_t n) {
    const char *from = block;
    char *to = block;
    for (int64_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, from + i * 4, sizeof x);
        uint16_t half = type == HY_SAFETENSOR_BF16 ? hy_float_to_bf16(x) : hy_float_to_f16(x);
        memcpy(to + i * 2, &half, sizeof half);
    }
}

static hy_status write_tensor(const char *path, FILE *file, const hy_safetensor *t, hy_safetensors_source source,
                              void *context) {
    enum { BLOCK = 8192 };
    _Alignas(8) char block[BLOCK * 8];
    for (int64_t done = 0; done < t->size;) {
        int64_t count = t->size - done < BLOCK ? t->size - done : BLOCK;
        HY_TRY(source(context, t, done, count, t->type == HY_SAFETENSOR_F64 ? HY_F64 : HY_F32, block));
        size_t width = hy_safetensor_type_size(t->type);
        if (width == 2)
            narrow(t->type, block, count);
        if (fwrite(block, width, (size_t)count, file) != (size_t)count)
            return write_failed(path);
        done += count;
    }
    return HY_OK;
}

hy_status hy_safetensors_write(const char *path, hy_safetensor *tensors, int64_t n, hy_safetensors_source source,
                               void *context) {
    int64_t at = 0;
    if (n > 0)
        qsort(tensors, (size_t)n, sizeof *tensors, by_width_then_name);
    for (int64_t i = 0; i < n; i++) {
        hy_safetensor *t = &tensors[i];
        if (t->type == HY_SAFETENSOR_OTHER)
            return hy_fail(HY_ERR_FAILED, "%s: tensor %s has no type that can be written", path, t->name);
        t->size = 1;
        for (int d = 0; d < t->n_dims; d++)
            t->size *= t->shape[d];
        t->begin = at;
        t->bytes = t->size * (int64_t)hy_safetensor_type_size(t->type);
        at += t->bytes;
    }
    FILE *file = fopen(path, "wb");
    if (!file)
        return write_failed(path);
    hy_status status = write_header(path, file, tensors, n);
    for (int64_t i = 0; i < n && status == HY_OK; i++)
        status = write_tensor(path, file, &tensors[i], source, context);
    if (status == HY_OK && (fflush(file) != 0 || fsync(fileno(file)) != 0))
        status = write_failed(path);
    if (fclose(file) != 0 && status == HY_OK)
        status = write_failed(path);
    return status;
}
