/* Where each key was set: a list in the order of setting, the last one wins. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/schema_internal.h"

typedef struct origin {
    char *key; /* one block: key, NUL, where, NUL */
    char *where;
} origin;

struct hy_schema_origins {
    origin *list;
    int64_t count;
    int64_t room;
};

hy_status hy_schema_origins_create(hy_schema_origins **out) {
    return HY_NEW("config origins", 1, out);
}

void hy_schema_origins_destroy(hy_schema_origins *origins) {
    if (origins == NULL) {
        return;
    }
    hy_schema_origins_forget(origins, 0);
    hy_free(origins->list);
    hy_free(origins);
}

int64_t hy_schema_origins_count(const hy_schema_origins *origins) {
    return origins == NULL ? 0 : origins->count;
}

void hy_schema_origins_forget(hy_schema_origins *origins, int64_t count) {
    while (origins != NULL && origins->count > count) {
        origins->count--;
        hy_free(origins->list[origins->count].key);
    }
}

hy_status hy_schema_origins_note(hy_schema_origins *origins, const char *key, const hy_source *source, int64_t line) {
    if (origins == NULL) {
        return HY_OK;
    }
    HY_TRY(HY_GROW("config origins", origins->count + 1, &origins->room, &origins->list));
    const size_t key_bytes = strlen(key) + 1, where_bytes = strlen(source->name) + 24;
    char *block = NULL;
    HY_TRY(hy_alloc("config origins", key_bytes + where_bytes, (void **)&block));
    memcpy(block, key, key_bytes);
    if (line > 0) {
        (void)snprintf(block + key_bytes, where_bytes, "%s:%lld", source->name, (long long)line);
    } else {
        (void)snprintf(block + key_bytes, where_bytes, "%s", source->name);
    }
    origins->list[origins->count++] = (origin){.key = block, .where = block + key_bytes};
    return HY_OK;
}

const char *hy_schema_origin(const hy_schema_origins *origins, const char *key) {
    for (int64_t i = hy_schema_origins_count(origins) - 1; i >= 0; i--) {
        if (strcmp(origins->list[i].key, key) == 0) {
            return origins->list[i].where;
        }
    }
    return "default";
}

hy_status hy_schema_fail(const hy_schema_origins *origins, const char *key, const char *format, ...) {
    char message[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    const char *where = hy_schema_origin(origins, key);
    return strcmp(where, "default") == 0 ? hy_fail(HY_ERR_USAGE, "%s", message)
                                         : hy_fail(HY_ERR_USAGE, "%s: %s", where, message);
}
