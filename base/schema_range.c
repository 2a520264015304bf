/* Ranges of a struct that was not filled from YAML: the table's limits hold wherever the numbers came from. */
#include <stdio.h>
#include <string.h>

#include "base/schema_internal.h"

static hy_status out_of_range(const hy_schema_entry *entry, const char *prefix, double value) {
    char wanted[512];
    hy_schema_describe(entry, wanted, sizeof(wanted));
    return hy_fail(HY_ERR_USAGE, "%s%s: %.17g, but it needs %s", prefix, entry->key, value, wanted);
}

static bool is_special_number(const hy_schema_entry *entry, double value) {
    return entry->special_name != NULL && value == entry->special_value;
}

static hy_status check_elements(const hy_schema_entry *entry, const unsigned char *object, const char *prefix) {
    int64_t count = 0;
    memcpy(&count, object + entry->count_offset, sizeof(count));
    for (int64_t i = 0; i < count; i++) {
        const unsigned char *element = object + entry->offset + (size_t)i * entry->stride;
        char inner[HY_SCHEMA_PATH_MAX];
        (void)snprintf(inner, sizeof(inner), "%s%s.%s.", prefix, entry->key,
                       (const char *)element + entry->label_offset);
        HY_TRY(hy_schema_check_ranges(entry->table, element, inner));
    }
    return HY_OK;
}

static hy_status check_entry(const hy_schema_entry *entry, const unsigned char *object, const char *prefix) {
    int64_t whole = 0;
    double real = 0;
    char inner[HY_SCHEMA_PATH_MAX];
    switch (entry->kind) {
    case HY_SCHEMA_KIND_INT:
        memcpy(&whole, object + entry->offset, sizeof(whole));
        return (whole >= entry->int_min && whole <= entry->int_max) || is_special_number(entry, (double)whole)
                   ? HY_OK
                   : out_of_range(entry, prefix, (double)whole);
    case HY_SCHEMA_KIND_DOUBLE:
        memcpy(&real, object + entry->offset, sizeof(real));
        return (real >= entry->min && real <= entry->max) || is_special_number(entry, real)
                   ? HY_OK
                   : out_of_range(entry, prefix, real);
    case HY_SCHEMA_KIND_GROUP:
        (void)snprintf(inner, sizeof(inner), "%s%s.", prefix, entry->key);
        return hy_schema_check_ranges(entry->table, object + entry->offset, inner);
    case HY_SCHEMA_KIND_NAMED:
        return check_elements(entry, object, prefix);
    default:
        return HY_OK;
    }
}

hy_status hy_schema_check_ranges(const hy_schema *schema, const void *object, const char *prefix) {
    for (size_t i = 0; i < schema->n_entries; i++) {
        HY_TRY(check_entry(&schema->entries[i], object, prefix));
    }
    return HY_OK;
}
