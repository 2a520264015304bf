/* The walk from a key to its field. A key is matched against the rows of one table at a time; what is left of it after
 * a GROUP, NAMED or LIST row is matched against that row's own table. */
#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/schema_internal.h"

static bool is_nothing(const hy_node *node) {
    return node->kind == HY_NODE_SCALAR && node->plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

/* `section:` with nothing below it is an empty map: all its keys may be commented out. */
static hy_status require_map(const hy_schema_cursor *at, const hy_node *node) {
    if (node->kind == HY_NODE_MAP || is_nothing(node)) {
        return HY_OK;
    }
    return hy_source_fail(at->source, node->line, "%s: needs a map of keys, not a %s",
                          at->length == 0 ? "config" : at->path, node->kind == HY_NODE_LIST ? "list" : "single value");
}

static hy_status unknown(const hy_schema_cursor *at, const hy_schema *schema, const void *object, const hy_node *node) {
    char nearest[HY_SCHEMA_PATH_MAX];
    hy_schema_nearest(at->root, schema, object, at->path, nearest);
    return hy_source_fail(at->source, node->line, "unknown key '%s'; nearest: '%s'", at->path, nearest);
}

static hy_status check_duplicate(const hy_schema_cursor *at, const hy_node *map, const hy_node *child) {
    for (const hy_node *earlier = map->first; earlier != child; earlier = earlier->next) {
        if (strcmp(earlier->key, child->key) == 0) {
            return hy_source_fail(at->source, child->line, "duplicate key '%s' (first on line %lld)", at->path,
                                  (long long)earlier->line);
        }
    }
    return HY_OK;
}

/* Extends the path by a map's key. */
static hy_status enter(hy_schema_cursor *at, const hy_node *child) {
    const size_t length = strlen(child->key), dot = at->length > 0;
    if (strchr(child->key, '.') != NULL) {
        return hy_source_fail(at->source, child->line, "unknown key '%.64s': in YAML, dotted keys are nested maps",
                              child->key);
    }
    if (length == 0 || at->length + dot + length >= sizeof(at->path)) {
        return hy_source_fail(at->source, child->line, "unknown key '%.64s%s' in '%s'", child->key,
                              length == 0 ? "" : "...", at->path);
    }
    if (dot) {
        at->path[at->length] = '.';
    }
    memcpy(at->path + at->length + dot, child->key, length + 1);
    at->length += dot + length;
    return HY_OK;
}

static void leave(hy_schema_cursor *at, size_t length) {
    at->length = length;
    at->path[length] = '\0';
}

/* Where the next component of the path will begin. */
static size_t next_start(const hy_schema_cursor *at) {
    return at->length == 0 ? 0 : at->length + 1;
}

hy_status hy_schema_place_children(hy_schema_cursor *at, const hy_schema *schema, unsigned char *object, size_t start,
                                   const hy_node *node) {
    HY_TRY(require_map(at, node));
    const size_t length = at->length;
    for (const hy_node *child = node->first; child != NULL; child = child->next) {
        HY_TRY(enter(at, child));
        HY_TRY(check_duplicate(at, node, child));
        HY_TRY(hy_schema_place(at, schema, object, start, child));
        leave(at, length);
    }
    return HY_OK;
}

static hy_status check_key_name(const hy_schema_cursor *at, const hy_schema_entry *entry, const char *name,
                                size_t length, int64_t line) {
    bool good = length > 0 && length < entry->label_size;
    for (size_t i = 0; i < length; i++) {
        const char c = name[i];
        good = good &&
               ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-');
    }
    return good ? HY_OK
                : hy_source_fail(at->source, line, "%s: a name has 1 to %zu letters, digits, '_' or '-'", at->path,
                                 entry->label_size - 1);
}

/* The element called so; a new one, with its table's defaults, where there is none. */
static hy_status find_or_add(const hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                             const char *name, size_t length, int64_t line, unsigned char **out) {
    HY_TRY(check_key_name(at, entry, name, length, line));
    int64_t *count = hy_schema_count(entry, object);
    unsigned char *element = object + entry->offset;
    for (int64_t i = 0; i < *count; i++, element += entry->stride) {
        const char *label = (const char *)element + entry->label_offset;
        if (strncmp(label, name, length) == 0 && label[length] == '\0') {
            *out = element;
            return HY_OK;
        }
    }
    if (*count == hy_schema_capacity(entry)) {
        return hy_source_fail(at->source, line, "%s: more than %lld entries", at->path, (long long)*count);
    }
    memset(element, 0, entry->stride);
    hy_schema_defaults_apply(entry->table, element);
    memcpy(element + entry->label_offset, name, length);
    ++*count;
    *out = element;
    return HY_OK;
}

/* The path from `start` begins with a name. */
static hy_status place_named(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object, size_t start,
                             const hy_node *node) {
    const size_t length = strcspn(at->path + start, ".");
    const size_t rest = start + length;
    unsigned char *element = NULL;
    HY_TRY(find_or_add(at, entry, object, at->path + start, length, node->line, &element));
    if (at->path[rest] == '\0') {
        return hy_schema_place_children(at, entry->table, element, next_start(at), node);
    }
    return hy_schema_place(at, entry->table, element, rest + 1, node);
}

static hy_status place_all_named(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                                 const hy_node *node) {
    HY_TRY(require_map(at, node));
    const size_t length = at->length;
    for (const hy_node *child = node->first; child != NULL; child = child->next) {
        HY_TRY(enter(at, child));
        HY_TRY(check_duplicate(at, node, child));
        HY_TRY(place_named(at, entry, object, length + 1, child));
        leave(at, length);
    }
    return HY_OK;
}

/* One pair of an INT_MAP, new or in place of the one with the same key where `replace`. */
static hy_status put_map_pair(const hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                              const char *key_text, const hy_node *node, bool replace) {
    int64_t key = 0;
    if (!hy_count_parse(key_text, &key) || key < entry->int_min || key > entry->int_max) {
        char wanted[128];
        hy_schema_describe(entry, wanted, sizeof(wanted));
        return hy_source_fail(at->source, node->line, "%s: needs %s; '%.64s' cannot be a key", at->path, wanted,
                              key_text);
    }
    int64_t *count = hy_schema_count(entry, object);
    unsigned char *element = object + entry->offset;
    int64_t i = 0;
    for (; i < *count && *(const int64_t *)(const void *)(element + entry->label_offset) != key; i++) {
        element += entry->stride;
    }
    if (i < *count && !replace) {
        return hy_source_fail(at->source, node->line, "%s: duplicate key '%lld'", at->path, (long long)key);
    }
    if (i == hy_schema_capacity(entry)) {
        return hy_source_fail(at->source, node->line, "%s: more than %lld entries", at->path, (long long)i);
    }
    HY_TRY(hy_schema_string_read(at, node, (char *)element + entry->text_offset, entry->text_size));
    *(int64_t *)(void *)(element + entry->label_offset) = key;
    *count += i == *count;
    return HY_OK;
}

static hy_status place_int_map(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                               const hy_node *node) {
    HY_TRY(require_map(at, node));
    memset(object + entry->offset, 0, entry->size);
    *hy_schema_count(entry, object) = 0;
    for (const hy_node *child = node->first; child != NULL; child = child->next) {
        HY_TRY(put_map_pair(at, entry, object, child->key, child, false));
    }
    return HY_OK;
}

static bool is_container(const hy_schema_entry *entry) {
    return entry->kind == HY_SCHEMA_KIND_GROUP || entry->kind == HY_SCHEMA_KIND_NAMED ||
           entry->kind == HY_SCHEMA_KIND_INT_MAP || entry->kind == HY_SCHEMA_KIND_LIST;
}

/* The path from `start` begins with the index of an element. */
static hy_status place_indexed(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object, size_t start,
                               const hy_node *node) {
    const size_t rest = start + strcspn(at->path + start, ".");
    unsigned char *element = NULL;
    HY_TRY(hy_schema_list_element(at, entry, object, start, node, &element));
    return at->path[rest] == '\0' ? hy_schema_place_children(at, entry->table, element, next_start(at), node)
                                  : hy_schema_place(at, entry->table, element, rest + 1, node);
}

/* `rest` is where the path goes on after the row's key and a dot; beyond at->length where it ends with the key. */
static hy_status place_entry(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object, size_t rest,
                             const hy_node *node) {
    const bool ends = rest > at->length;
    if (entry->kind == HY_SCHEMA_KIND_GROUP) {
        unsigned char *inner = object + entry->offset;
        return ends ? hy_schema_place_children(at, entry->table, inner, next_start(at), node)
                    : hy_schema_place(at, entry->table, inner, rest, node);
    }
    if (entry->kind == HY_SCHEMA_KIND_NAMED) {
        return ends ? place_all_named(at, entry, object, node) : place_named(at, entry, object, rest, node);
    }
    if (entry->kind == HY_SCHEMA_KIND_LIST && !ends) {
        return place_indexed(at, entry, object, rest, node);
    }
    if (entry->kind == HY_SCHEMA_KIND_LIST) {
        HY_TRY(hy_schema_list_read(at, entry, object, node));
    } else if (entry->kind == HY_SCHEMA_KIND_INT_MAP) {
        HY_TRY(ends ? place_int_map(at, entry, object, node)
                    : put_map_pair(at, entry, object, at->path + rest, node, true));
    } else {
        HY_TRY(hy_schema_value_read(at, entry, node, object));
    }
    return hy_schema_origins_note(at->origins, at->path, at->source, node->line);
}

/* Whether the key is a section: the beginning of some row's key. */
static bool is_section(const hy_schema *schema, const char *key) {
    const size_t length = strlen(key);
    for (size_t i = 0; i < schema->n_entries; i++) {
        if (strncmp(schema->entries[i].key, key, length) == 0 && schema->entries[i].key[length] == '.') {
            return true;
        }
    }
    return false;
}

hy_status hy_schema_place(hy_schema_cursor *at, const hy_schema *schema, unsigned char *object, size_t start,
                          const hy_node *node) {
    const char *key = at->path + start;
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *entry = &schema->entries[i];
        const size_t length = strlen(entry->key);
        const bool begins = strncmp(key, entry->key, length) == 0;
        if (begins && (key[length] == '\0' || (key[length] == '.' && is_container(entry)))) {
            return place_entry(at, entry, object, start + length + 1, node);
        }
    }
    return is_section(schema, key) ? hy_schema_place_children(at, schema, object, start, node)
                                   : unknown(at, schema, object, node);
}
