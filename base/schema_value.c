/* One YAML scalar or list into one field. The field decides the type, not the text: `dir: 5` is the text "5", and
 * `steps: "5"` is no number. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/schema_internal.h"
#include "base/text.h"

static hy_status mismatch(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node) {
    char wanted[512];
    hy_schema_describe(entry, wanted, sizeof(wanted));
    if (node->kind != HY_NODE_SCALAR) {
        return hy_source_fail(at->source, node->line, "%s: needs %s, not a %s", at->path, wanted,
                              node->kind == HY_NODE_LIST ? "list" : "map");
    }
    const bool number = node->plain && node->text[0] >= '0' && node->text[0] <= '9';
    const bool unit = number && entry->kind == HY_SCHEMA_KIND_INT && node->text[strspn(node->text, "0123456789_")];
    return hy_source_fail(at->source, node->line, "%s: needs %s, not %s%.64s%s%s", at->path, wanted,
                          node->plain ? "'" : "\"", node->text, node->plain ? "'" : "\"",
                          unit ? " (units: " HY_COUNT_UNITS ")" : "");
}

/* [+-]digits[.digits][e[+-]digits] with digits on one side of the point at least, or [+-].inf. */
static bool parse_double(const char *text, double *out) {
    const char *c = text + (*text == '-' || *text == '+');
    if (strcmp(c, ".inf") == 0) {
        *out = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    size_t digits = 0;
    for (; (*c >= '0' && *c <= '9') || *c == '.'; c++) {
        digits += *c != '.';
    }
    if (digits == 0) {
        return false;
    }
    if (*c == 'e' || *c == 'E') {
        c++;
        c += *c == '-' || *c == '+';
        if (*c < '0' || *c > '9') {
            return false;
        }
        c += strspn(c, "0123456789");
    }
    char *end = NULL;
    *out = strtod(text, &end);
    return *c == '\0' && *end == '\0' && isfinite(*out); /* strtod finds a second point; 1e999 is no number */
}

static bool is_special_node(const hy_schema_entry *entry, const hy_node *node) {
    return entry->special_name != NULL && strcmp(node->text, entry->special_name) == 0;
}

static hy_status read_bool(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node, bool *out) {
    if (node->kind == HY_NODE_SCALAR && node->plain && strcmp(node->text, "true") == 0) {
        *out = true;
    } else if (node->kind == HY_NODE_SCALAR && node->plain && strcmp(node->text, "false") == 0) {
        *out = false;
    } else {
        return mismatch(at, entry, node);
    }
    return HY_OK;
}

static hy_status read_int(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node, int64_t *out) {
    int64_t value = 0;
    if (node->kind != HY_NODE_SCALAR || !node->plain) {
        return mismatch(at, entry, node);
    }
    if (is_special_node(entry, node)) {
        value = (int64_t)entry->special_value;
    } else if (!hy_count_parse(node->text, &value) || value < entry->int_min || value > entry->int_max) {
        return mismatch(at, entry, node);
    }
    *out = value;
    return HY_OK;
}

static hy_status read_double(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node,
                             double *out) {
    double value = 0.0;
    if (node->kind != HY_NODE_SCALAR || !node->plain) {
        return mismatch(at, entry, node);
    }
    if (is_special_node(entry, node)) {
        value = entry->special_value;
    } else if (!parse_double(node->text, &value) || value < entry->min || value > entry->max) {
        return mismatch(at, entry, node);
    }
    *out = value;
    return HY_OK;
}

hy_status hy_schema_string_read(const hy_schema_cursor *at, const hy_node *node, char *out, size_t capacity) {
    if (node->kind != HY_NODE_SCALAR) {
        return hy_source_fail(at->source, node->line, "%s: needs a text, not a %s", at->path,
                              node->kind == HY_NODE_LIST ? "list" : "map");
    }
    if (node->plain && (strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0)) {
        return hy_source_fail(at->source, node->line, "%s: needs a text; write \"\" for none", at->path);
    }
    const size_t length = strlen(node->text);
    if (length >= capacity) {
        return hy_source_fail(at->source, node->line, "%s: longer than %zu bytes: '%.40s...'", at->path, capacity - 1,
                              node->text);
    }
    memset(out, 0, capacity); /* equal configs are equal bytes */
    memcpy(out, node->text, length);
    return HY_OK;
}

static hy_status read_enum(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node, void *out) {
    if (node->kind != HY_NODE_SCALAR) {
        return mismatch(at, entry, node);
    }
    int count = 0;
    for (; entry->names[count] != NULL; count++) {
        if (strcmp(entry->names[count], node->text) == 0) {
            memcpy(out, &count, sizeof(count));
            return HY_OK;
        }
    }
    char wanted[512];
    hy_schema_describe(entry, wanted, sizeof(wanted));
    return hy_source_fail(at->source, node->line, "%s: needs %s, not '%.64s'; nearest: '%s'", at->path, wanted,
                          node->text, entry->names[hy_text_nearest(node->text, entry->names, count)]);
}

static hy_status read_list(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node,
                           unsigned char *object) {
    const bool nothing = node->kind == HY_NODE_SCALAR && node->plain && node->text[0] == '\0';
    if (node->kind != HY_NODE_LIST && !nothing) {
        return mismatch(at, entry, node);
    }
    memset(object + entry->offset, 0, entry->size);
    int64_t count = 0;
    for (const hy_node *item = node->first; item != NULL; item = item->next, count++) {
        if (count == hy_schema_capacity(entry)) {
            return hy_source_fail(at->source, item->line, "%s: more than %lld entries", at->path, (long long)count);
        }
        unsigned char *field = object + entry->offset + (size_t)count * entry->stride;
        if (entry->kind == HY_SCHEMA_KIND_INT_LIST) {
            HY_TRY(read_int(at, entry, item, (int64_t *)(void *)field));
        } else {
            HY_TRY(hy_schema_string_read(at, item, (char *)field, entry->stride));
        }
    }
    *hy_schema_count(entry, object) = count;
    return HY_OK;
}

hy_status hy_schema_value_read(const hy_schema_cursor *at, const hy_schema_entry *entry, const hy_node *node,
                               unsigned char *object) {
    void *field = object + entry->offset;
    switch (entry->kind) {
    case HY_SCHEMA_KIND_BOOL:
        return read_bool(at, entry, node, field);
    case HY_SCHEMA_KIND_INT:
        return read_int(at, entry, node, field);
    case HY_SCHEMA_KIND_DOUBLE:
        return read_double(at, entry, node, field);
    case HY_SCHEMA_KIND_STRING:
        return hy_schema_string_read(at, node, field, entry->size);
    case HY_SCHEMA_KIND_ENUM:
        return read_enum(at, entry, node, field);
    case HY_SCHEMA_KIND_INT_LIST:
    case HY_SCHEMA_KIND_STRING_LIST:
        return read_list(at, entry, node, object);
    case HY_SCHEMA_KIND_INT_MAP:
    case HY_SCHEMA_KIND_GROUP:
    case HY_SCHEMA_KIND_NAMED:
    case HY_SCHEMA_KIND_LIST:
        break;
    }
    return mismatch(at, entry, node);
}

static int describe_range(const hy_schema_entry *entry, char *out, size_t size) {
    if (entry->kind == HY_SCHEMA_KIND_DOUBLE) {
        const bool low = entry->min > -DBL_MAX, high = entry->max < DBL_MAX;
        return low && high ? snprintf(out, size, " from %g to %g", entry->min, entry->max)
               : low       ? snprintf(out, size, " of at least %g", entry->min)
               : high      ? snprintf(out, size, " of at most %g", entry->max)
                           : snprintf(out, size, "%s", "");
    }
    const bool low = entry->int_min > INT64_MIN, high = entry->int_max < INT64_MAX;
    const long long least = entry->int_min, most = entry->int_max;
    return low && high ? snprintf(out, size, " from %lld to %lld", least, most)
           : low       ? snprintf(out, size, " of at least %lld", least)
           : high      ? snprintf(out, size, " of at most %lld", most)
                       : snprintf(out, size, "%s", "");
}

static void describe_names(const hy_schema_entry *entry, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "one of");
    for (int i = 0; entry->names[i] != NULL && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s %s", i == 0 ? "" : ",", entry->names[i]);
    }
}

void hy_schema_describe(const hy_schema_entry *entry, char *out, size_t size) {
    char range[96] = "";
    (void)describe_range(entry, range, sizeof(range));
    const char *special = entry->special_name;
    switch (entry->kind) {
    case HY_SCHEMA_KIND_BOOL:
        (void)snprintf(out, size, "true or false");
        break;
    case HY_SCHEMA_KIND_INT:
    case HY_SCHEMA_KIND_DOUBLE:
        (void)snprintf(out, size, "%s%s%s%s", entry->kind == HY_SCHEMA_KIND_INT ? "an integer" : "a number", range,
                       special != NULL ? " or " : "", special != NULL ? special : "");
        break;
    case HY_SCHEMA_KIND_STRING:
        (void)snprintf(out, size, "a text");
        break;
    case HY_SCHEMA_KIND_ENUM:
        describe_names(entry, out, size);
        break;
    case HY_SCHEMA_KIND_INT_LIST:
        (void)snprintf(out, size, "a list of integers%s%s", range[0] ? ", each" : "", range);
        break;
    case HY_SCHEMA_KIND_STRING_LIST:
        (void)snprintf(out, size, "a list of texts");
        break;
    case HY_SCHEMA_KIND_INT_MAP:
        (void)snprintf(out, size, "a map from integers%s to texts", range);
        break;
    case HY_SCHEMA_KIND_GROUP:
        (void)snprintf(out, size, "a map of keys");
        break;
    case HY_SCHEMA_KIND_NAMED:
        (void)snprintf(out, size, "a map of names, each with its own keys");
        break;
    case HY_SCHEMA_KIND_LIST:
        (void)snprintf(out, size, "a %slist of maps, each with its own keys",
                       entry->single != NULL ? "text, a list of texts, or a " : "");
        break;
    }
}
