/* The struct, or with `help` the table's defaults, as YAML: a dotted key opens the sections that the key before it was
 * not in yet, each two columns deeper. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/schema_internal.h"
#include "base/text.h"
#include "base/utf8.h"

typedef struct writer {
    FILE *out;
    bool help;
    bool comment;        /* help: the rows are those of a list that is empty by default */
    hy_status status;    /* of the reservations */
    const char *problem; /* why the struct cannot be written; NULL: it can */
} writer;

static void indent(const writer *w, int depth) {
    (void)fprintf(w->out, "%*s%s", 2 * depth, "", w->comment ? "#   " : "");
}

/* Texts that any YAML reader takes for a text, unquoted. */
static bool is_plain(const char *text) {
    static const char *const reserved[] = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"};
    const char first = text[0];
    if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '_' || first == '/')) {
        return false;
    }
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcasecmp(text, reserved[i]) == 0) {
            return false;
        }
    }
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")] == '\0';
}

/* YAML's printable characters, without those that it takes for line breaks. */
static bool is_printable(uint32_t code) {
    return (code >= 0x20 && code < 0x7f) ||
           (code >= 0xa0 && code < 0xfffe && code != 0x2028 && code != 0x2029 && code != 0xfeff) || code > 0xffff;
}

static void write_quoted_text(writer *w, const char *text, size_t capacity) {
    size_t room = strnlen(text, capacity);
    if (room < capacity && is_plain(text)) {
        (void)fputs(text, w->out);
        return;
    }
    (void)fputc('"', w->out);
    while (room > 0) {
        uint32_t code = 0;
        const size_t bytes = hy_utf8_decode(text, room, &code);
        if (bytes == 0) {
            w->problem = "a text is not UTF-8";
            break;
        }
        if (code == '"' || code == '\\') {
            (void)fprintf(w->out, "\\%c", (int)code);
        } else if (is_printable(code)) {
            (void)fwrite(text, 1, bytes, w->out);
        } else {
            (void)fprintf(w->out, "\\u%04X", (unsigned)code);
        }
        text += bytes;
        room -= bytes;
    }
    (void)fputc('"', w->out);
}

static void write_double(const writer *w, const hy_schema_entry *entry, double value) {
    if (entry->special_name != NULL && value == entry->special_value) {
        (void)fputs(entry->special_name, w->out);
    } else if (isinf(value)) {
        (void)fputs(value > 0.0 ? ".inf" : "-.inf", w->out);
    } else {
        (void)fputs(hy_text_double(value).s, w->out);
    }
}

static void write_int(const writer *w, const hy_schema_entry *entry, int64_t value) {
    if (entry->special_name != NULL && value == (int64_t)entry->special_value) {
        (void)fputs(entry->special_name, w->out);
    } else {
        (void)fprintf(w->out, "%lld", (long long)value);
    }
}

static void write_enum(writer *w, const hy_schema_entry *entry, const void *field) {
    int value = 0, known = 0;
    memcpy(&value, field, sizeof(value));
    while (known < value && entry->names[known] != NULL) {
        known++;
    }
    if (value < 0 || entry->names[known] == NULL) {
        w->problem = "an enum has a value without a name";
    } else {
        write_quoted_text(w, entry->names[value], SIZE_MAX);
    }
}

static void write_entry_array(writer *w, const hy_schema_entry *entry, const unsigned char *object) {
    const bool map = entry->kind == HY_SCHEMA_KIND_INT_MAP;
    const unsigned char *element = object + entry->offset;
    const int64_t count = *(const int64_t *)(const void *)(object + entry->count_offset);
    (void)fputc(map ? '{' : '[', w->out);
    for (int64_t i = 0; i < count; i++, element += entry->stride) {
        (void)fputs(i > 0 ? ", " : "", w->out);
        if (map) {
            (void)fprintf(w->out, "%lld: ", (long long)*(const int64_t *)(const void *)(element + entry->label_offset));
            write_quoted_text(w, (const char *)element + entry->text_offset, entry->text_size);
        } else if (entry->kind == HY_SCHEMA_KIND_INT_LIST) {
            write_int(w, entry, *(const int64_t *)(const void *)element);
        } else {
            write_quoted_text(w, (const char *)element, entry->stride);
        }
    }
    (void)fputc(map ? '}' : ']', w->out);
}

static void write_entry_value(writer *w, const hy_schema_entry *entry, const unsigned char *object) {
    const void *field = object + entry->offset;
    switch (entry->kind) {
    case HY_SCHEMA_KIND_BOOL:
        (void)fputs(*(const bool *)field ? "true" : "false", w->out);
        break;
    case HY_SCHEMA_KIND_INT:
        write_int(w, entry, *(const int64_t *)field);
        break;
    case HY_SCHEMA_KIND_DOUBLE:
        write_double(w, entry, *(const double *)field);
        break;
    case HY_SCHEMA_KIND_STRING:
        write_quoted_text(w, field, entry->size);
        break;
    case HY_SCHEMA_KIND_ENUM:
        write_enum(w, entry, field);
        break;
    case HY_SCHEMA_KIND_INT_LIST:
    case HY_SCHEMA_KIND_STRING_LIST:
    case HY_SCHEMA_KIND_INT_MAP:
        write_entry_array(w, entry, object);
        break;
    case HY_SCHEMA_KIND_GROUP:
    case HY_SCHEMA_KIND_NAMED:
    case HY_SCHEMA_KIND_LIST:
        break;
    }
}

void hy_schema_value_text(const hy_schema_entry *entry, const void *object, char *out, size_t size) {
    FILE *file = fmemopen(out, size, "w");
    out[0] = '\0';
    if (file) {
        write_entry_value(&(writer){.out = file}, entry, object);
        (void)fclose(file);
        out[size - 1] = '\0';
    }
}

static void write_preset(writer *w, const hy_schema_entry *entry) {
    const char *preset = entry->preset != NULL ? entry->preset : "";
    switch (entry->kind) {
    case HY_SCHEMA_KIND_BOOL:
        (void)fputs(entry->preset != NULL ? preset : "false", w->out);
        break;
    case HY_SCHEMA_KIND_INT:
    case HY_SCHEMA_KIND_DOUBLE:
        (void)fputs(entry->preset != NULL ? preset : "0", w->out);
        break;
    case HY_SCHEMA_KIND_STRING:
        write_quoted_text(w, preset, SIZE_MAX);
        break;
    case HY_SCHEMA_KIND_ENUM:
        write_quoted_text(w, entry->preset != NULL ? preset : entry->names[0], SIZE_MAX);
        break;
    case HY_SCHEMA_KIND_INT_LIST:
    case HY_SCHEMA_KIND_STRING_LIST:
        (void)fprintf(w->out, "[%s]", preset);
        break;
    case HY_SCHEMA_KIND_INT_MAP:
        (void)fputs("{}", w->out);
        break;
    case HY_SCHEMA_KIND_LIST:
        (void)fputs(entry->preset != NULL ? entry->preset : entry->single != NULL ? "\"\"" : "[]", w->out);
        break;
    case HY_SCHEMA_KIND_GROUP:
    case HY_SCHEMA_KIND_NAMED:
        break;
    }
}

static void write_comment(const writer *w, const hy_schema_entry *entry, int depth) {
    char type[512];
    hy_schema_describe(entry, type, sizeof(type));
    indent(w, depth);
    if (entry->kind == HY_SCHEMA_KIND_GROUP) {
        (void)fprintf(w->out, "# %s\n", entry->help);
    } else {
        (void)fprintf(w->out, "# %s: %s\n", entry->help, type);
    }
}

static void write_table(writer *w, const hy_schema *schema, const unsigned char *object, int depth);

static void write_named(writer *w, const hy_schema_entry *entry, const unsigned char *object, int depth) {
    if (w->help) {
        (void)fputc('\n', w->out);
        indent(w, depth + 1);
        (void)fputs("NAME:\n", w->out);
        write_table(w, entry->table, NULL, depth + 2);
        return;
    }
    const int64_t count = *(const int64_t *)(const void *)(object + entry->count_offset);
    (void)fputs(count == 0 ? " {}\n" : "\n", w->out);
    for (int64_t i = 0; i < count; i++) {
        const unsigned char *element = object + entry->offset + (size_t)i * entry->stride;
        indent(w, depth + 1);
        write_quoted_text(w, (const char *)element + entry->label_offset, entry->label_size);
        (void)fputs(":\n", w->out);
        write_table(w, entry->table, element, depth + 2);
    }
}

/* Whether nothing but the text that stands for it is to be said of an element. */
static bool is_single(writer *w, const hy_schema_entry *entry, const unsigned char *element, const char **text) {
    unsigned char *plain = NULL;
    const hy_schema_entry *single = hy_schema_single_row(entry);
    if (single == NULL) {
        return false;
    }
    const hy_status status = hy_alloc("config element", entry->stride, (void **)&plain);
    if (status != HY_OK) {
        w->status = status;
        return false;
    }
    hy_schema_defaults_apply(entry->table, plain);
    memcpy(plain + single->offset, element + single->offset, single->size);
    *text = (const char *)element + single->offset;
    const bool same = memcmp(plain, element, entry->stride) == 0 && (*text)[0] != '\0';
    hy_free(plain);
    return same;
}

/* Texts on one line where that says it all. */
static bool write_singles(writer *w, const hy_schema_entry *entry, const unsigned char *object, int64_t count) {
    const unsigned char *element = object + entry->offset;
    const char *text = NULL;
    if (count == 0) {
        (void)fputs(entry->single != NULL ? " \"\"\n" : " []\n", w->out);
        return true;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!is_single(w, entry, element + (size_t)i * entry->stride, &text)) {
            return false;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        (void)is_single(w, entry, element + (size_t)i * entry->stride, &text);
        (void)fputs(i > 0 ? ", " : count > 1 ? " [" : " ", w->out);
        write_quoted_text(w, text, entry->stride);
    }
    (void)fputs(count > 1 ? "]\n" : "\n", w->out);
    return true;
}

static void write_list(writer *w, const hy_schema_entry *entry, const unsigned char *object, int depth) {
    if (w->help) {
        (void)fputc(' ', w->out);
        write_preset(w, entry);
        (void)fputc('\n', w->out);
        const bool outer = w->comment;
        w->comment = true;
        write_table(w, entry->table, NULL, depth);
        w->comment = outer;
        return;
    }
    const int64_t count = *(const int64_t *)(const void *)(object + entry->count_offset);
    if (write_singles(w, entry, object, count)) {
        return;
    }
    (void)fputc('\n', w->out);
    for (int64_t i = 0; i < count; i++) {
        indent(w, depth + 1);
        (void)fputs("-\n", w->out);
        write_table(w, entry->table, object + entry->offset + (size_t)i * entry->stride, depth + 2);
    }
}

/* "a.b.c" after "a.x.y": opens b, then c. Returns the depth of the last component, which *name becomes. */
static int open_sections(const writer *w, const char *key, const char *previous, int depth, const char **name) {
    bool shared = true;
    for (const char *dot = strchr(key, '.'); dot != NULL; dot = strchr(key, '.')) {
        const size_t length = (size_t)(dot - key);
        shared = shared && strncmp(previous, key, length + 1) == 0;
        if (!shared) {
            indent(w, depth);
            (void)fprintf(w->out, "%.*s:\n", (int)length, key);
        }
        previous = shared ? previous + length + 1 : previous;
        key = dot + 1;
        depth++;
    }
    *name = key;
    return depth;
}

static void write_table(writer *w, const hy_schema *schema, const unsigned char *object, int depth) {
    const char *previous = "";
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *entry = &schema->entries[i];
        const char *name = NULL;
        if (object != NULL && schema->has != NULL && !schema->has(object, entry)) {
            continue;
        }
        const int inner = open_sections(w, entry->key, previous, depth, &name);
        previous = entry->key;
        if (w->help) {
            write_comment(w, entry, inner);
        }
        indent(w, inner);
        (void)fprintf(w->out, "%s:", name);
        if (entry->kind == HY_SCHEMA_KIND_GROUP) {
            (void)fputc('\n', w->out);
            write_table(w, entry->table, w->help ? NULL : object + entry->offset, inner + 1);
        } else if (entry->kind == HY_SCHEMA_KIND_NAMED) {
            write_named(w, entry, object, inner);
        } else if (entry->kind == HY_SCHEMA_KIND_LIST) {
            write_list(w, entry, object, inner);
        } else {
            (void)fputc(' ', w->out);
            if (w->help) {
                write_preset(w, entry);
            } else {
                write_entry_value(w, entry, object);
            }
            (void)fputc('\n', w->out);
        }
    }
}

hy_status hy_schema_write(const hy_schema *schema, const void *object, char **text, size_t *length) {
    char *buffer = NULL, *copy = NULL;
    size_t bytes = 0;
    writer w = {.out = open_memstream(&buffer, &bytes)};
    if (w.out == NULL) {
        return hy_fail(HY_ERR_MEMORY, "no memory to write the config");
    }
    write_table(&w, schema, object, 0);
    if (fclose(w.out) != 0) {
        free(buffer);
        return hy_fail(HY_ERR_MEMORY, "no memory to write the config");
    }
    hy_status status = w.status;
    if (status == HY_OK && w.problem != NULL) {
        status = hy_fail(HY_ERR_USAGE, "the config cannot be written as YAML: %s", w.problem);
    }
    if (status == HY_OK) {
        status = hy_alloc("config text", bytes + 1, (void **)&copy);
    }
    if (status == HY_OK) {
        memcpy(copy, buffer, bytes + 1);
        *text = copy;
        *length = bytes;
    }
    free(buffer);
    return status;
}

void hy_schema_show(const hy_schema_entry *entry, const void *object, char *out, size_t size) {
    writer w = {.out = fmemopen(out, size, "w")};
    out[0] = '\0';
    if (w.out != NULL) {
        int value = 0;
        if (entry->kind == HY_SCHEMA_KIND_ENUM) {
            memcpy(&value, (const unsigned char *)object + entry->offset, sizeof(value));
            (void)fputs(entry->names[value], w.out);
        } else if (entry->table == NULL && entry->stride == 0) {
            write_entry_value(&w, entry, object);
        }
        (void)fclose(w.out);
    }
    out[size - 1] = '\0';
}

void hy_schema_help(const hy_schema *schema, FILE *out) {
    writer w = {.out = out, .help = true};
    write_table(&w, schema, NULL, 0);
}
