/* The public readers: each works on a copy of the struct, so that a failed one changes nothing. */
#include "base/schema.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/schema_internal.h"

static const hy_source preset_source = {.name = "default of the table", .has_lines = false};

/* "a, b" as a list of plain scalars. */
static hy_status apply_list_preset(const hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object) {
    enum { ITEMS_MAX = 64, BYTES_MAX = 2048 };
    char copy[BYTES_MAX];
    hy_node items[ITEMS_MAX];
    if (strlen(entry->preset) >= sizeof(copy)) {
        return hy_source_fail(at->source, 0, "%s: longer than %d bytes", at->path, BYTES_MAX - 1);
    }
    (void)snprintf(copy, sizeof(copy), "%s", entry->preset);
    hy_node list = {.kind = HY_NODE_LIST};
    int count = 0;
    char *rest = copy;
    for (const char *word = strtok_r(copy, ", ", &rest); word != NULL && count < ITEMS_MAX;
         word = strtok_r(NULL, ", ", &rest)) {
        items[count] = (hy_node){.kind = HY_NODE_SCALAR, .plain = true, .text = word};
        if (count > 0) {
            items[count - 1].next = &items[count];
        }
        count++;
    }
    list.first = count > 0 ? items : NULL;
    return hy_schema_value_read(at, entry, &list, object);
}

hy_status hy_schema_preset_apply(const hy_schema_entry *entry, unsigned char *object) {
    if (entry->preset == NULL) {
        return HY_OK;
    }
    hy_schema_cursor at = {.source = &preset_source};
    at.length = strlen(entry->key);
    (void)snprintf(at.path, sizeof(at.path), "%s", entry->key);
    if (entry->kind == HY_SCHEMA_KIND_INT_LIST || entry->kind == HY_SCHEMA_KIND_STRING_LIST) {
        return apply_list_preset(&at, entry, object);
    }
    const hy_node node = {.kind = HY_NODE_SCALAR, .plain = true, .text = entry->preset};
    if (entry->kind == HY_SCHEMA_KIND_LIST) {
        return hy_schema_list_read(&at, entry, object, &node);
    }
    return hy_schema_value_read(&at, entry, &node, object);
}

void hy_schema_defaults_apply(const hy_schema *schema, unsigned char *object) {
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *entry = &schema->entries[i];
        if (entry->kind == HY_SCHEMA_KIND_GROUP) {
            hy_schema_defaults_apply(entry->table, object + entry->offset);
        } else {
            const hy_status status = hy_schema_preset_apply(entry, object);
            assert(status == HY_OK && "a row's default does not fit the row: see hy_schema_check");
            (void)status;
        }
    }
}

void hy_schema_defaults(const hy_schema *schema, void *object) {
    memset(object, 0, schema->size);
    hy_schema_defaults_apply(schema, object);
}

/* Places the document under the key already in at->path, in a copy that replaces the object on success. */
static hy_status place_in_copy(hy_schema_cursor *at, void *object, const hy_document *document) {
    const hy_schema *schema = at->root;
    const hy_node *root = hy_document_root(document);
    const int64_t noted = hy_schema_origins_count(at->origins);
    unsigned char *copy = NULL;
    HY_TRY(hy_alloc("config copy", schema->size, (void **)&copy));
    memcpy(copy, object, schema->size);
    const hy_status status = at->length == 0 ? hy_schema_place_children(at, schema, copy, 0, root)
                                             : hy_schema_place(at, schema, copy, 0, root);
    if (status == HY_OK) {
        memcpy(object, copy, schema->size);
    } else {
        hy_schema_origins_forget(at->origins, noted);
    }
    hy_free(copy);
    return status;
}

hy_status hy_schema_parse(const hy_schema *schema, void *object, const char *name, const char *text, size_t length,
                          hy_schema_origins *origins) {
    const hy_source source = {.name = name, .has_lines = true};
    hy_document *document = NULL;
    HY_TRY(hy_document_parse(&source, text, length, &document));
    hy_schema_cursor at = {.source = &source, .root = schema, .origins = origins};
    const hy_status status = place_in_copy(&at, object, document);
    hy_document_destroy(document);
    return status;
}

hy_status hy_schema_load(const hy_schema *schema, void *object, const char *path, hy_schema_origins *origins) {
    char *text = NULL;
    size_t length = 0;
    HY_TRY(hy_file_read(path, HY_DOCUMENT_BYTES_MAX, HY_ERR_USAGE, &text, &length));
    const hy_status status = hy_schema_parse(schema, object, path, text, length, origins);
    hy_free(text);
    return status;
}

hy_status hy_schema_set(const hy_schema *schema, void *object, const char *assignment, hy_schema_origins *origins) {
    char name[HY_SCHEMA_PATH_MAX];
    (void)snprintf(name, sizeof(name), "--set %.200s", assignment);
    const hy_source source = {.name = name, .has_lines = false};
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment) {
        return hy_source_fail(&source, 0, "needs the form key=value");
    }
    hy_schema_cursor at = {.source = &source, .root = schema, .origins = origins};
    at.length = (size_t)(equals - assignment);
    if (at.length >= sizeof(at.path)) {
        return hy_source_fail(&source, 0, "a key has at most %d bytes", HY_SCHEMA_PATH_MAX - 1);
    }
    memcpy(at.path, assignment, at.length);
    hy_document *document = NULL;
    HY_TRY(hy_document_parse(&source, equals + 1, strlen(equals + 1), &document));
    const hy_status status = place_in_copy(&at, object, document);
    hy_document_destroy(document);
    return status;
}
