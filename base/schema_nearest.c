/* Which valid key was meant. A wrong last component in the right section is likelier than a wrong section, so
 *
 *     cost = 2 · d(last, last)                           under the same parent
 *            min(2 · d(full, full), 2 · d(last, last) + 1)  elsewhere */
#include <stdio.h>
#include <string.h>

#include "base/schema_internal.h"
#include "base/text.h"

typedef struct search {
    const char *path;       /* the unknown key */
    const hy_schema *table; /* where it was looked for, */
    const void *object;     /* and in which object: not all have every key */
    char *best;             /* [HY_SCHEMA_PATH_MAX] */
    int64_t best_cost;      /* -1: none yet */
} search;

static const char *last_component(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

static void consider(search *s, const char *key) {
    const char *last = last_component(s->path), *other = last_component(key);
    const bool same_parent = last - s->path == other - key && strncmp(s->path, key, (size_t)(other - key)) == 0;
    int64_t cost = 2 * hy_text_dissimilarity(last, other);
    if (!same_parent) {
        const int64_t whole = 2 * hy_text_distance(s->path, key);
        cost = whole < cost + 1 ? whole : cost + 1;
    }
    if (s->best_cost < 0 || cost < s->best_cost) {
        s->best_cost = cost;
        (void)snprintf(s->best, HY_SCHEMA_PATH_MAX, "%s", key);
    }
}

/* The sections of a row's key that its predecessor does not share. */
static void consider_sections(search *s, const char *prefix, const char *key, const char *previous) {
    for (const char *dot = strchr(key, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        const size_t length = (size_t)(dot - key);
        if (strncmp(previous, key, length + 1) != 0) {
            char section[HY_SCHEMA_PATH_MAX];
            (void)snprintf(section, sizeof(section), "%s%.*s", prefix, (int)length, key);
            consider(s, section);
        }
    }
}

static void search_table(search *s, const hy_schema *schema, const char *prefix) {
    const char *previous = "";
    for (size_t i = 0; i < schema->n_entries; i++) {
        const hy_schema_entry *entry = &schema->entries[i];
        if (schema == s->table && schema->has != NULL && !schema->has(s->object, entry)) {
            continue;
        }
        consider_sections(s, prefix, entry->key, previous);
        previous = entry->key;
        char key[HY_SCHEMA_PATH_MAX], below[2 * HY_SCHEMA_PATH_MAX];
        (void)snprintf(key, sizeof(key), "%s%s", prefix, entry->key);
        consider(s, key);
        if (entry->kind == HY_SCHEMA_KIND_GROUP) {
            (void)snprintf(below, sizeof(below), "%s.", key);
            below[HY_SCHEMA_PATH_MAX - 1] = '\0';
            search_table(s, entry->table, below);
        } else if (entry->kind == HY_SCHEMA_KIND_NAMED || entry->kind == HY_SCHEMA_KIND_LIST) {
            const size_t length = strlen(key);
            const bool inside = strncmp(s->path, key, length) == 0 && s->path[length] == '.';
            const char *name = inside ? s->path + length + 1 : entry->kind == HY_SCHEMA_KIND_LIST ? "0" : "NAME";
            (void)snprintf(below, sizeof(below), "%s.%.*s.", key, (int)strcspn(name, "."), name);
            below[HY_SCHEMA_PATH_MAX - 1] = '\0';
            search_table(s, entry->table, below);
        }
    }
}

void hy_schema_nearest(const hy_schema *root, const hy_schema *table, const void *object, const char *path,
                       char nearest[HY_SCHEMA_PATH_MAX]) {
    nearest[0] = '\0';
    search s = {.path = path, .table = table, .object = object, .best = nearest, .best_cost = -1};
    search_table(&s, root, "");
}
