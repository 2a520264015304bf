/* RFC 8259. Escaped: '"', '\\', control characters; everything else is UTF-8 as it is. */
#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"

void hy_json_begin(hy_json *json, FILE *file) {
    *json = (hy_json){.file = file};
    clearerr(file);
    errno = 0;
}

hy_status hy_json_end(hy_json *json, hy_status on_error) {
    assert(json->depth == 0 && json->done);
    (void)fputc('\n', json->file);
    if (fflush(json->file) != 0 || ferror(json->file)) {
        return hy_fail(on_error, "cannot write JSON: %s", errno != 0 ? strerror(errno) : "output error");
    }
    return HY_OK;
}

static void write_string(FILE *file, const char *text) {
    (void)fputc('"', file);
    for (size_t room = strlen(text); room > 0;) {
        uint32_t code = 0;
        const size_t decoded = hy_utf8_decode(text, room, &code);
        const size_t bytes = decoded > 0 ? decoded : 1;
        if (decoded == 0) {
            (void)fputs("\xef\xbf\xbd", file);
        } else if (code == '"' || code == '\\') {
            (void)fprintf(file, "\\%c", (int)code);
        } else if (code == '\n') {
            (void)fputs("\\n", file);
        } else if (code < 0x20 || code == 0x7f) {
            (void)fprintf(file, "\\u%04x", (unsigned)code);
        } else {
            (void)fwrite(text, 1, bytes, file);
        }
        text += bytes;
        room -= bytes;
    }
    (void)fputc('"', file);
}

/* What comes before a value: the comma after its predecessor, and its key. */
static void begin_value(hy_json *json, const char *key) {
    if (json->depth == 0) {
        assert(!json->done && key == NULL);
        json->done = true;
        return;
    }
    const int top = json->depth - 1;
    assert(json->open[top].object == (key != NULL));
    if (!json->open[top].empty) {
        (void)fputs(", ", json->file);
    }
    json->open[top].empty = false;
    if (key != NULL) {
        write_string(json->file, key);
        (void)fputs(": ", json->file);
    }
}

static void open_value(hy_json *json, const char *key, bool object) {
    begin_value(json, key);
    assert(json->depth < HY_JSON_DEPTH);
    json->open[json->depth].object = object;
    json->open[json->depth].empty = true;
    json->depth++;
    (void)fputc(object ? '{' : '[', json->file);
}

void hy_json_open_object(hy_json *json, const char *key) {
    open_value(json, key, true);
}

void hy_json_open_array(hy_json *json, const char *key) {
    open_value(json, key, false);
}

void hy_json_close(hy_json *json) {
    assert(json->depth > 0);
    json->depth--;
    (void)fputc(json->open[json->depth].object ? '}' : ']', json->file);
}

void hy_json_int(hy_json *json, const char *key, int64_t value) {
    begin_value(json, key);
    (void)fprintf(json->file, "%lld", (long long)value);
}

void hy_json_double(hy_json *json, const char *key, double value) {
    if (!isfinite(value)) {
        hy_json_null(json, key);
        return;
    }
    begin_value(json, key);
    (void)fputs(hy_text_double(value).s, json->file);
}

void hy_json_bool(hy_json *json, const char *key, bool value) {
    begin_value(json, key);
    (void)fputs(value ? "true" : "false", json->file);
}

void hy_json_null(hy_json *json, const char *key) {
    begin_value(json, key);
    (void)fputs("null", json->file);
}

void hy_json_string(hy_json *json, const char *key, const char *value) {
    if (value == NULL) {
        hy_json_null(json, key);
        return;
    }
    begin_value(json, key);
    write_string(json->file, value);
}
