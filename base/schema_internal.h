/* What the schema_*.c files share; nobody else includes this. */
#ifndef HY_BASE_SCHEMA_INTERNAL_H
#define HY_BASE_SCHEMA_INTERNAL_H

#include "base/document.h"
#include "base/schema.h"

enum { HY_SCHEMA_PATH_MAX = 256 };

/* Where reading stands: the source, and the full dotted key of the value at hand. */
typedef struct hy_schema_cursor {
    const hy_source *source;
    const hy_schema *root;
    hy_schema_origins *origins; /* may be NULL */
    char path[HY_SCHEMA_PATH_MAX];
    size_t length; /* of path */
} hy_schema_cursor;

/* Puts the node, and what is below it, at the key at->path + start of the table `schema`, whose struct is `object`. */
HY_MUST_CHECK hy_status hy_schema_place(hy_schema_cursor *at, const hy_schema *schema, unsigned char *object,
                                        size_t start, const hy_node *node);

/* The same for the children of a map, whose keys belong directly under `object`. */
HY_MUST_CHECK hy_status hy_schema_place_children(hy_schema_cursor *at, const hy_schema *schema, unsigned char *object,
                                                 size_t start, const hy_node *node);

/* A LIST whole, and the element whose index begins the path at `start`. */
HY_MUST_CHECK hy_status hy_schema_list_read(hy_schema_cursor *at, const hy_schema_entry *entry, unsigned char *object,
                                            const hy_node *node);
HY_MUST_CHECK hy_status hy_schema_list_element(const hy_schema_cursor *at, const hy_schema_entry *entry,
                                               unsigned char *object, size_t start, const hy_node *node,
                                               unsigned char **element);

/* The row that a LIST's element written as a text sets; NULL: there is none. */
const hy_schema_entry *hy_schema_single_row(const hy_schema_entry *entry);

/* One value (every kind but INT_MAP, GROUP, NAMED, LIST) into its field of `object`. */
HY_MUST_CHECK hy_status hy_schema_value_read(const hy_schema_cursor *at, const hy_schema_entry *entry,
                                             const hy_node *node, unsigned char *object);

/* One text, such as an INT_MAP has. */
HY_MUST_CHECK hy_status hy_schema_string_read(const hy_schema_cursor *at, const hy_node *node, char *out,
                                              size_t capacity);

/* Sets a row's default; fails only where the table is wrong. */
HY_MUST_CHECK hy_status hy_schema_preset_apply(const hy_schema_entry *entry, unsigned char *object);
void hy_schema_defaults_apply(const hy_schema *schema, unsigned char *object);

/* "an integer from 0 to 5", for messages and help. */
void hy_schema_describe(const hy_schema_entry *entry, char *out, size_t size);

/* The valid key nearest to the full key `path`, which `object` of `table` does not have; a name under NAMED is taken from `path`. */
void hy_schema_nearest(const hy_schema *root, const hy_schema *table, const void *object, const char *path,
                       char nearest[HY_SCHEMA_PATH_MAX]);

HY_MUST_CHECK hy_status hy_schema_origins_note(hy_schema_origins *origins, const char *key, const hy_source *source,
                                               int64_t line);
int64_t hy_schema_origins_count(const hy_schema_origins *origins);
void hy_schema_origins_forget(hy_schema_origins *origins, int64_t count); /* all but the first `count` */

static inline int64_t *hy_schema_count(const hy_schema_entry *entry, unsigned char *object) {
    return (int64_t *)(void *)(object + entry->count_offset);
}

static inline int64_t hy_schema_capacity(const hy_schema_entry *entry) {
    return (int64_t)(entry->size / entry->stride);
}

#endif
