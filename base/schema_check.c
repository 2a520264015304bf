/* What can be wrong with a table, found before a user does. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/schema_internal.h"

static hy_status wrong_entry(const hy_schema_entry *entry, const char *what) {
    return hy_fail(HY_ERR_FAILED, "config table, row '%s': %s", entry->key, what);
}

static bool is_array(const hy_schema_entry *entry) {
    return entry->kind == HY_SCHEMA_KIND_INT_LIST || entry->kind == HY_SCHEMA_KIND_STRING_LIST ||
           entry->kind == HY_SCHEMA_KIND_INT_MAP || entry->kind == HY_SCHEMA_KIND_NAMED ||
           entry->kind == HY_SCHEMA_KIND_LIST;
}

static bool begins_with_section(const char *key, const char *section, size_t length) {
    return strncmp(key, section, length) == 0 && key[length] == '.';
}

/* No key twice, none that is also a section, and sections in one piece. */
static hy_status check_keys(const hy_schema *schema, size_t i) {
    const hy_schema_entry *entry = &schema->entries[i];
    const char *key = entry->key;
    if (key[0] == '\0' || key[0] == '.' || strstr(key, "..") != NULL || key[strlen(key) - 1] == '.' ||
        strlen(key) > 120) {
        return wrong_entry(entry, "not a dotted key");
    }
    for (size_t j = 0; j < schema->n_entries; j++) {
        const char *other = schema->entries[j].key;
        if (j != i && strcmp(key, other) == 0) {
            return wrong_entry(entry, "the key is there twice");
        }
        if (begins_with_section(other, key, strlen(key))) {
            return wrong_entry(entry, "the key is also a section");
        }
    }
    for (const char *dot = strchr(key, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        const size_t length = (size_t)(dot - key);
        if (i > 0 && begins_with_section(schema->entries[i - 1].key, key, length)) {
            continue;
        }
        for (size_t j = 0; j + 1 < i; j++) {
            if (begins_with_section(schema->entries[j].key, key, length)) {
                return wrong_entry(entry, "rows of its section stand apart");
            }
        }
    }
    return HY_OK;
}

static hy_status check_layout(const hy_schema *schema, const hy_schema_entry *entry) {
    if (entry->size == 0 || entry->offset + entry->size > schema->size) {
        return wrong_entry(entry, "the field lies outside the struct");
    }
    if (entry->kind == HY_SCHEMA_KIND_ENUM &&
        (entry->size != sizeof(int) || entry->names == NULL || entry->names[0] == NULL)) {
        return wrong_entry(entry, "needs an enum of the size of int, and its names");
    }
    if (is_array(entry) && (entry->stride == 0 || entry->size % entry->stride != 0 ||
                            entry->count_offset + sizeof(int64_t) > schema->size)) {
        return wrong_entry(entry, "needs an array and a count");
    }
    if ((entry->kind == HY_SCHEMA_KIND_NAMED || entry->kind == HY_SCHEMA_KIND_LIST) &&
        entry->stride != entry->table->size) {
        return wrong_entry(entry, "its table describes another struct than the array's");
    }
    if (entry->kind == HY_SCHEMA_KIND_GROUP && entry->size != entry->table->size) {
        return wrong_entry(entry, "its table describes another struct than the field's");
    }
    if (entry->help == NULL || entry->help[0] == '\0') {
        return wrong_entry(entry, "has no help");
    }
    return HY_OK;
}

static hy_status check_table(const hy_schema *schema, unsigned char *scratch) {
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *entry = &schema->entries[i];
        HY_TRY(check_keys(schema, i));
        HY_TRY(check_layout(schema, entry));
        if (entry->table != NULL) {
            HY_TRY(check_table(entry->table, scratch + entry->offset));
        }
        if (hy_schema_preset_apply(entry, scratch) != HY_OK) {
            return wrong_entry(entry, "the default does not fit the row");
        }
    }
    return HY_OK;
}

hy_status hy_schema_check(const hy_schema *schema) {
    unsigned char *scratch = NULL;
    HY_TRY(hy_alloc("config table check", schema->size, (void **)&scratch));
    const hy_status status = check_table(schema, scratch);
    hy_free(scratch);
    return status;
}
