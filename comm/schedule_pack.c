#include "comm/schedule_pack.h"

#include <string.h>

#include "base/memory.h"

enum { NAMES = 256, LENGTH = 64 };

typedef struct head {
    int64_t n, n_parts;
    int32_t n_bodies, n_names, n_comms, exchanges;
} head;

/* One of the names that are kept for good. */
static hy_status keep_name(const char *name, const char **out) {
    static char kept[NAMES][LENGTH];
    for (int i = 0; i < NAMES; i++) {
        if (kept[i][0] == '\0') {
            memcpy(kept[i], name, strlen(name) + 1); /* packed: it fits */
        }
        if (strcmp(kept[i], name) == 0) {
            *out = kept[i];
            return HY_OK;
        }
    }
    return hy_fail(HY_ERR_DATA, "schedules: no room for an exchange called '%s'", name);
}

size_t hy_schedule_packed_bytes(const hy_schedule *s) {
    return sizeof(head) + (size_t)s->n * sizeof *s->events + (size_t)s->n_parts * sizeof *s->parts +
           (size_t)s->n_bodies * sizeof *s->bodies + (size_t)s->n_comms * sizeof *s->comms +
           (size_t)s->n_names * LENGTH;
}

static char *put(char *to, const void *from, size_t bytes) {
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return to + bytes;
}

void hy_schedule_pack(const hy_schedule *s, void *to) {
    const head h = {s->n, s->n_parts, s->n_bodies, s->n_names, s->n_comms, s->exchanges};
    char *at = put(to, &h, sizeof h);
    at = put(at, s->events, (size_t)s->n * sizeof *s->events);
    at = put(at, s->parts, (size_t)s->n_parts * sizeof *s->parts);
    at = put(at, s->bodies, (size_t)s->n_bodies * sizeof *s->bodies);
    at = put(at, s->comms, (size_t)s->n_comms * sizeof *s->comms);
    for (int i = 0; i < s->n_names; i++, at += LENGTH) {
        memset(at, 0, LENGTH);
        memcpy(at, s->names[i], strnlen(s->names[i], LENGTH - 1));
    }
}

/* *items: n objects of `object` bytes each, from *from, which goes on behind them. */
static hy_status take(const char **from, int64_t n, size_t object, int64_t *room, void **items) {
    HY_TRY(hy_grow("schedule", n + 1, object, room, items));
    (void)put(*items, *from, (size_t)n * object);
    *from += (size_t)n * object;
    return HY_OK;
}
#define TAKE(from, n, room, items) take((from), (n), sizeof(**(items)), (room), (void **)(items))

static hy_status unpack(const char *from, hy_schedule *s) {
    head h;
    memcpy(&h, from, sizeof h);
    from += sizeof h;
    HY_TRY(TAKE(&from, h.n, &s->limit, &s->events));
    HY_TRY(TAKE(&from, h.n_parts, &s->limit_parts, &s->parts));
    HY_TRY(TAKE(&from, h.n_bodies, &s->limit_bodies, &s->bodies));
    HY_TRY(TAKE(&from, h.n_comms, &s->limit_comms, &s->comms));
    HY_TRY(HY_GROW("schedule", h.n_names + 1, &s->limit_names, &s->names));
    for (int i = 0; i < h.n_names; i++) {
        HY_TRY(keep_name(from + (size_t)i * LENGTH, &s->names[i]));
    }
    s->n = h.n;
    s->n_parts = h.n_parts;
    s->n_bodies = h.n_bodies;
    s->n_names = h.n_names;
    s->n_comms = h.n_comms;
    s->exchanges = h.exchanges;
    return HY_OK;
}

hy_status hy_schedule_unpack(const void *from, hy_schedule *out) {
    *out = (hy_schedule){.waited = -1, .stopped = true};
    const hy_status status = unpack(from, out);
    if (status != HY_OK) {
        hy_schedule_clear(out);
    }
    return status;
}
