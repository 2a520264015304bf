/* Lists of structs: `stages: [{steps: 5}, {steps: 7, lr: 1e-4}]`, replaced whole; `stages.1.lr=1e-5` changes one value
 * of an element that is there. Where the row names a key that an element written as a single text stands for, a text
 * alone is a list of one, and an empty text the empty list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema_internal.h"

const hy_schema_entry *hy_schema_single_row(const hy_schema_entry *entry) {
    for (size_t i = 0; entry->single != NULL && i < entry->table->n_entries; i++) {
        if (strcmp(entry->table->entries[i].key, entry->single) == 0) {
            return &entry->table->entries[i];
        }
    }
    return NULL;
}

static bool is_empty_text(const hy_node *node) {
    return node->kind == HY_NODE_SCALAR && node->text[0] == '\0';
}

/* The element number `index` from a map, or from a text. */
static hy_status read_element(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object, int64_t index,
                              const hy_node *node) {
    unsigned char *element = object + entry->offset + (size_t)index * entry->stride;
    const hy_schema_entry *single = hy_schema_single_row(entry);
    if (index == hy_schema_capacity(entry)) {
        return hy_source_fail(at->source, node->line, "%s: more than %lld entries", at->path, (long long)index);
    }
    hy_schema_defaults_apply(entry->table, element);
    if (node->kind == HY_NODE_SCALAR && single != NULL) {
        return hy_schema_value_read(at, single, node, element);
    }
    const size_t length = at->length;
    const int added = snprintf(at->path + length, sizeof(at->path) - length, ".%lld", (long long)index);
    if (length + (size_t)added >= sizeof(at->path)) {
        return hy_source_fail(at->source, node->line, "a key has at most %d bytes", HY_SCHEMA_PATH_MAX - 1);
    }
    at->length += (size_t)added;
    const hy_status status = hy_schema_place_children(at, entry->table, element, at->length + 1, node);
    at->length = length;
    at->path[length] = '\0';
    return status;
}

hy_status hy_schema_list_read(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                              const hy_node *node) {
    const bool one = entry->single != NULL && node->kind != HY_NODE_LIST && !is_empty_text(node);
    const bool none = is_empty_text(node) && (entry->single != NULL || node->plain);
    int64_t count = 0;
    if (!one && !none && node->kind != HY_NODE_LIST) {
        char wanted[128];
        hy_schema_describe(entry, wanted, sizeof(wanted));
        return hy_source_fail(at->source, node->line, "%s: needs %s, not a %s", at->path, wanted,
                              node->kind == HY_NODE_MAP ? "map" : "single value");
    }
    memset(object + entry->offset, 0, entry->size);
    if (one) {
        HY_TRY(read_element(at, entry, object, count++, node));
    }
    for (const hy_node *item = node->kind == HY_NODE_LIST ? node->first : NULL; item != NULL; item = item->next) {
        HY_TRY(read_element(at, entry, object, count++, item));
    }
    *hy_schema_count(entry, object) = count;
    return HY_OK;
}

hy_status hy_schema_list_element(const hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                                 size_t start, const hy_node *node, unsigned char **element) {
    const int64_t count = *hy_schema_count(entry, object);
    const size_t digits = strspn(at->path + start, "0123456789");
    const int64_t index = digits > 0 && digits < 10 ? strtoll(at->path + start, NULL, 10) : count;
    const char end = at->path[start + digits];
    if (digits == 0 || (end != '\0' && end != '.') || index >= count) {
        return hy_source_fail(at->source, node->line, "%s: '%.*s' is none of its %lld entries, which count from 0",
                              at->path, (int)strcspn(at->path + start, "."), at->path + start, (long long)count);
    }
    *element = object + entry->offset + (size_t)index * entry->stride;
    return HY_OK;
}
