/* config.json as text, like Python's json with an indent of 2 and sorted keys: numbers as short as they read back, infinities bare. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "train/publish/hf_family.h"

json_t *hy_hf_number(double x) {
    return trunc(x) == x && fabs(x) < 1e15 ? json_integer((json_int_t)x) : json_real(x);
}

/* jansson has no infinities. */
static json_t *real(double x) {
    return isfinite(x) ? json_real(x) : json_pack("{s:s}", "__float__", x > 0 ? "Infinity" : "-Infinity");
}

json_t *hy_hf_number_or_null(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *hy_hf_limits(double low, double high) {
    return json_pack("[o, o]", real(low), real(high));
}

json_t *hy_hf_pad_token(const hy_model_config *model) {
    return model->pad_token >= 0 ? json_integer(model->pad_token) : json_null();
}

static void write_json_value(FILE *out, const json_t *value, int depth);

static void write_scalar(FILE *out, const json_t *value) {
    char *text = json_is_real(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
    if (json_is_real(value)) {
        const hy_text number = hy_text_double(json_real_value(value));
        fprintf(out, "%s%s", number.s, strpbrk(number.s, ".e") ? "" : ".0"); /* a real stays one */
    } else {
        fputs(text ? text : "null", out);
    }
    free(text);
}

static void write_break(FILE *out, bool first, int depth) {
    fprintf(out, "%s\n%*s", first ? "" : ",", 2 * depth, "");
}

static int keys_by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_json_object(FILE *out, const json_t *object, int depth) {
    const size_t n = json_object_size(object);
    const char **names = calloc(n + 1, sizeof *names), *name;
    size_t i = 0;
    json_t *value;
    if (!names)
        return; /* the text is no JSON then, which its reader notices */
    json_object_foreach((json_t *)(uintptr_t)object, name, value) names[i++] = name;
    qsort(names, n, sizeof *names, keys_by_name);
    fputc('{', out);
    for (i = 0; i < n; i++) {
        write_break(out, i == 0, depth + 1);
        fprintf(out, "\"%s\": ", names[i]);
        write_json_value(out, json_object_get(object, names[i]), depth + 1);
    }
    if (n > 0)
        write_break(out, true, depth);
    fputc('}', out);
    free(names);
}

static void write_json_array(FILE *out, const json_t *array, int depth) {
    const size_t n = json_array_size(array);
    fputc('[', out);
    for (size_t i = 0; i < n; i++) {
        write_break(out, i == 0, depth + 1);
        write_json_value(out, json_array_get(array, i), depth + 1);
    }
    if (n > 0)
        write_break(out, true, depth);
    fputc(']', out);
}

static void write_json_value(FILE *out, const json_t *value, int depth) {
    const char *infinity = json_string_value(json_object_get(value, "__float__"));
    if (infinity)
        fputs(infinity, out);
    else if (json_is_object(value))
        write_json_object(out, value, depth);
    else if (json_is_array(value))
        write_json_array(out, value, depth);
    else
        write_scalar(out, value);
}

char *hy_hf_json_text(const json_t *json) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    write_json_value(out, json, 0);
    fputc('\n', out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
