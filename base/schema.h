/* A config engine: one table describes a struct, and from it follow defaults, YAML in and out, `a.b=value` overrides,
 * checks with file, line and nearest key, and the help text.
 *
 * The table's author writes rows, each of a key (dotted path), a field, a default as text, a range and one line of
 * help:
 *
 *     typedef struct train_config {
 *         int64_t steps;
 *         double lr;
 *         layout_kind layout;                     // an enum with values 0, 1, 2, ...
 *         char dir[512];
 *         struct { int64_t every, keep; } checkpoint;
 *         int64_t n_pattern;
 *         char pattern[64][48];
 *         int64_t n_mixers;
 *         mixer_config mixers[32];                // has char name[48] and a table of its own
 *         int64_t n_stages;
 *         stage_config stages[16];                // has a table of its own
 *     } train_config;
 *
 *     static const char *const layouts[] = {"contiguous", "zigzag", NULL};
 *     static const hy_schema_entry entries[] = {
 *         {HY_SCHEMA_INT(train_config, steps, "train.steps", "1000", 0, HY_SCHEMA_NO_MAX, "optimizer steps")},
 *         {HY_SCHEMA_DOUBLE(train_config, lr, "train.lr", "3e-4", 0.0, 1.0, "peak learning rate")},
 *         {HY_SCHEMA_INT(train_config, checkpoint.keep, "train.checkpoint.keep", "2", 1, 99, "how many stay")},
 *         {HY_SCHEMA_ENUM(train_config, layout, "parallel.layout", "zigzag", layouts, "how a sequence is split")},
 *         {HY_SCHEMA_STRING(train_config, dir, "run.dir", "runs/x", "run directory")},
 *         {HY_SCHEMA_STRING_LIST(train_config, pattern, n_pattern, "model.pattern", "attention, gla", "...")},
 *         {HY_SCHEMA_NAMED(train_config, mixers, n_mixers, mixer_config, name, "model.mixers", &mixer_schema, "...")},
 *         {HY_SCHEMA_LIST(train_config, stages, n_stages, "train.stages", NULL, &stage_schema, NULL, "...")},
 *     };
 *     const hy_schema train_schema = HY_SCHEMA(train_config, entries);
 *
 * Rows under one section ("train.") stand together. hy_schema_check, called from a unit test, finds mistakes in a
 * table. An int or double row may have a value outside its range with a name of its own, read and written as that name:
 *
 *     {HY_SCHEMA_INT(mixer_config, heads, "heads", "default", 1, HY_SCHEMA_NO_MAX, "query heads"),
 *      HY_SCHEMA_SPECIAL("default", -1)},
 */
#ifndef HY_BASE_SCHEMA_H
#define HY_BASE_SCHEMA_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef enum hy_schema_kind {
    HY_SCHEMA_KIND_BOOL,        /* bool: true, false */
    HY_SCHEMA_KIND_INT,         /* int64_t, read as base/count.h says: 32k, 1Mi, 1e6 */
    HY_SCHEMA_KIND_DOUBLE,      /* double; .inf and -.inf where the range allows, never .nan */
    HY_SCHEMA_KIND_STRING,      /* char[size], UTF-8 */
    HY_SCHEMA_KIND_ENUM,        /* an enum, written by name */
    HY_SCHEMA_KIND_INT_LIST,    /* int64_t[capacity] and a count */
    HY_SCHEMA_KIND_STRING_LIST, /* char[capacity][size] and a count */
    HY_SCHEMA_KIND_INT_MAP,     /* struct { int64_t; char[]; }[capacity] and a count: {23: attention} */
    HY_SCHEMA_KIND_GROUP,       /* a struct with a table of its own, under the key */
    HY_SCHEMA_KIND_NAMED,       /* structs[capacity] with a table of their own, under names chosen by the user */
    HY_SCHEMA_KIND_LIST         /* structs[capacity] with a table of their own, in order */
} hy_schema_kind;

typedef struct hy_schema hy_schema;

/* Filled by the macros below. Offsets and sizes in bytes. */
typedef struct hy_schema_entry {
    const char *key; /* dotted path within the table */
    hy_schema_kind kind;
    size_t offset;      /* of the field, or of the array's first element */
    size_t size;        /* of the field; of an array: of the whole array */
    const char *preset; /* the default: plain text, for lists "a, b"; NULL: zeros, empty */
    const char *help;
    int64_t int_min, int_max; /* inclusive; INT_MAP: of its keys */
    double min, max;          /* inclusive */
    const char *special_name; /* one more value, not subject to the range; NULL: none */
    double special_value;
    const char *const *names;        /* ENUM: by value, NULL at the end */
    const hy_schema *table;          /* GROUP, NAMED, LIST */
    const char *single;              /* LIST: the text row that an element written as a text stands for; or NULL */
    size_t count_offset;             /* arrays: of their int64_t count */
    size_t stride;                   /* arrays: bytes of one element */
    size_t label_offset, label_size; /* in one element: the name (NAMED) or int64_t key (INT_MAP) */
    size_t text_offset, text_size;   /* in one element: the text (INT_MAP) */
} hy_schema_entry;

struct hy_schema {
    const hy_schema_entry *entries;
    size_t n_entries;
    size_t size; /* of the struct */
    /* Whether this object has that key: one that it has not is read, but not written. NULL: it has them all. */
    bool (*has)(const void *object, const hy_schema_entry *entry);
};

#define HY_SCHEMA(type, rows) HY_SCHEMA_SOME(type, rows, NULL)
#define HY_SCHEMA_SOME(type, rows, has_)                                                                               \
    { (rows), sizeof(rows) / sizeof((rows)[0]), sizeof(type), (has_) }

#define HY_SCHEMA_NO_MIN  INT64_MIN
#define HY_SCHEMA_NO_MAX  INT64_MAX
#define HY_SCHEMA_LOWEST  (-DBL_MAX) /* any finite double; -INFINITY and INFINITY allow infinities too */
#define HY_SCHEMA_HIGHEST DBL_MAX

#define HY_SCHEMA_FIELD_(type, field) .offset = offsetof(type, field), .size = sizeof(((type *)0)->field)
#define HY_SCHEMA_KIND_OF_(type, field, field_type, kind_value)                                                        \
    .kind = _Generic(((type *)0)->field, field_type : kind_value)

#define HY_SCHEMA_BOOL(type, field, key_, preset_, help_)                                                              \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field, bool, HY_SCHEMA_KIND_BOOL), HY_SCHEMA_FIELD_(type, field),          \
    .preset = (preset_), .help = (help_)

#define HY_SCHEMA_INT(type, field, key_, preset_, min_, max_, help_)                                                   \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field, int64_t, HY_SCHEMA_KIND_INT), HY_SCHEMA_FIELD_(type, field),        \
    .preset = (preset_), .int_min = (min_), .int_max = (max_), .help = (help_)

#define HY_SCHEMA_DOUBLE(type, field, key_, preset_, min_, max_, help_)                                                \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field, double, HY_SCHEMA_KIND_DOUBLE), HY_SCHEMA_FIELD_(type, field),      \
    .preset = (preset_), .min = (min_), .max = (max_), .help = (help_)

#define HY_SCHEMA_STRING(type, field, key_, preset_, help_)                                                            \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field[0], char, HY_SCHEMA_KIND_STRING), HY_SCHEMA_FIELD_(type, field),     \
    .preset = (preset_), .help = (help_)

#define HY_SCHEMA_ENUM(type, field, key_, preset_, names_, help_)                                                      \
    .key = (key_), .kind = HY_SCHEMA_KIND_ENUM, HY_SCHEMA_FIELD_(type, field), .preset = (preset_), .names = (names_), \
    .help = (help_)

#define HY_SCHEMA_ARRAY_(type, field, count_field)                                                                     \
    HY_SCHEMA_FIELD_(type, field), .count_offset = offsetof(type, count_field), .stride = sizeof(((type *)0)->field[0])

#define HY_SCHEMA_INT_LIST(type, field, count_field, key_, preset_, min_, max_, help_)                                 \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field[0], int64_t, HY_SCHEMA_KIND_INT_LIST),                               \
    HY_SCHEMA_ARRAY_(type, field, count_field), .preset = (preset_), .int_min = (min_), .int_max = (max_),             \
    .help = (help_)

#define HY_SCHEMA_STRING_LIST(type, field, count_field, key_, preset_, help_)                                          \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field[0][0], char, HY_SCHEMA_KIND_STRING_LIST),                            \
    HY_SCHEMA_ARRAY_(type, field, count_field), .preset = (preset_), .help = (help_)

/* key_field: int64_t, text_field: char[], both of one array element. Keys lie in [min_, max_]. */
#define HY_SCHEMA_INT_MAP(type, field, count_field, key_field, text_field, key_, min_, max_, help_)                    \
    .key = (key_), HY_SCHEMA_KIND_OF_(type, field[0].key_field, int64_t, HY_SCHEMA_KIND_INT_MAP),                      \
    HY_SCHEMA_ARRAY_(type, field, count_field),                                                                        \
    .label_offset = offsetof(type, field[0].key_field) - offsetof(type, field[0]), .label_size = sizeof(int64_t),      \
    .text_offset = offsetof(type, field[0].text_field) - offsetof(type, field[0]),                                     \
    .text_size = sizeof(((type *)0)->field[0].text_field), .int_min = (min_), .int_max = (max_), .help = (help_)

#define HY_SCHEMA_GROUP(type, field, key_, table_, help_)                                                              \
    .key = (key_), .kind = HY_SCHEMA_KIND_GROUP, HY_SCHEMA_FIELD_(type, field), .table = (table_), .help = (help_)

/* element: the struct type of the array; name_field: its char[] that receives the name. */
#define HY_SCHEMA_NAMED(type, field, count_field, element, name_field, key_, table_, help_)                            \
    .key = (key_), .kind = HY_SCHEMA_KIND_NAMED, HY_SCHEMA_ARRAY_(type, field, count_field),                           \
    .label_offset = offsetof(element, name_field), .label_size = sizeof(((element *)0)->name_field),                   \
    .table = (table_), .help = (help_)

/* single_: key of the element's text row that a plain text means, such that `store: a.h5`, `store: [a.h5]` and
 * `store: [{path: a.h5}]` are one; NULL: elements are maps. preset_: such a text, or NULL. */
#define HY_SCHEMA_LIST(type, field, count_field, key_, preset_, table_, single_, help_)                                \
    .key = (key_), .kind = HY_SCHEMA_KIND_LIST, HY_SCHEMA_ARRAY_(type, field, count_field), .preset = (preset_),       \
    .table = (table_), .single = (single_), .help = (help_)

#define HY_SCHEMA_SPECIAL(name_, value_) .special_name = (name_), .special_value = (value_)

/* Remembers where each key was set, so that a check of several keys can say so. Optional everywhere: NULL. */
typedef struct hy_schema_origins hy_schema_origins;
HY_MUST_CHECK hy_status hy_schema_origins_create(hy_schema_origins **out);
void hy_schema_origins_destroy(hy_schema_origins *origins);
/* "configs/a.yaml:12", "--set train.lr=1", or "default" for a key that nobody set. Valid until the next load. */
const char *hy_schema_origin(const hy_schema_origins *origins, const char *key);

/* HY_ERR_USAGE with a message of a check after reading, behind the place where `key` was set, if it was. */
HY_MUST_CHECK hy_status hy_schema_fail(const hy_schema_origins *origins, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Zeroes the struct, then sets every default. */
void hy_schema_defaults(const hy_schema *schema, void *object);

/* Each of these three changes what the source names and leaves the rest; on failure *object is untouched and the
 * error (HY_ERR_USAGE; HY_ERR_MEMORY) names source, line, key. Sections and NAMED merge with what is there, every other
 * value is replaced whole. A new name under NAMED starts from its table's defaults. All are local. */
HY_MUST_CHECK hy_status hy_schema_load(const hy_schema *schema, void *object, const char *path,
                                       hy_schema_origins *origins);
/* From memory; `name` stands for the file in messages. */
HY_MUST_CHECK hy_status hy_schema_parse(const hy_schema *schema, void *object, const char *name, const char *text,
                                        size_t length, hy_schema_origins *origins);
/* "a.b.c=value", the value being YAML; "model.mixers.gla.heads=4" adds gla where it is absent,
 * "model.schedule.overrides.23=attention" one key of an INT_MAP, and "train.stages.0.lr=1e-3" changes the first element
 * of a LIST. */
HY_MUST_CHECK hy_status hy_schema_set(const hy_schema *schema, void *object, const char *assignment,
                                      hy_schema_origins *origins);

/* One value (no map, no group) of `object` as hy_schema_write writes it, cut off at `size`. */
void hy_schema_value_text(const hy_schema_entry *entry, const void *object, char *out, size_t size);

/* Every key as YAML, such that hy_schema_parse of it over the defaults gives an equal struct. *text ends in a NUL not
 * counted in *length; the caller frees it with hy_free. HY_ERR_USAGE where a value cannot be written (not UTF-8). */
HY_MUST_CHECK hy_status hy_schema_write(const hy_schema *schema, const void *object, char **text, size_t *length);

/* The value of one row, for messages; "" for arrays and tables. */
void hy_schema_show(const hy_schema_entry *entry, const void *object, char *out, size_t size);
/* HY_ERR_USAGE naming the first int or double, after `prefix`, that lies outside its row's range and is not its special value. What was
 * read from YAML is inside; structs filled by other means are not. */
HY_MUST_CHECK hy_status hy_schema_check_ranges(const hy_schema *schema, const void *object, const char *prefix);

/* The schema as a commented YAML file: every key with its default, type, range and help. */
void hy_schema_help(const hy_schema *schema, FILE *out);

/* For unit tests of tables: HY_ERR_FAILED with the row for a repeated or split section, a bad default, a bad layout. */
HY_MUST_CHECK hy_status hy_schema_check(const hy_schema *schema);

#endif
