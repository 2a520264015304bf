#include "comm/schedule.h"

#include <string.h>

#include "base/memory.h"

/* Room for one more of `count`, twice as much each time. */
static bool grow(hy_schedule *s, void **array, int64_t count, int64_t *limit, size_t size) {
    void *larger = NULL;
    if (count < *limit) {
        return true;
    }
    const int64_t wanted = 2 * *limit + 64;
    if (s->status == HY_OK) {
        s->status = hy_alloc("schedule", (size_t)wanted * size, &larger);
    }
    if (larger == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(larger, *array, (size_t)count * size);
    }
    hy_free(*array);
    *array = larger;
    *limit = wanted;
    return true;
}

static void append(hy_schedule *s, hy_event event) {
    if (!s->stopped && grow(s, (void **)&s->events, s->n, &s->limit, sizeof event)) {
        s->events[s->n++] = event;
    }
}

void hy_schedule_compute(hy_schedule *s, int op, double flops, double bytes) {
    append(s, (hy_event){.kind = HY_EVENT_COMPUTE, .a = op, .flops = flops, .bytes = bytes});
}

void hy_schedule_place(hy_schedule *s, int place) {
    append(s, (hy_event){.kind = HY_EVENT_PLACE, .a = place});
}

void hy_schedule_mark(hy_schedule *s) {
    append(s, (hy_event){.kind = HY_EVENT_MARK});
}

static int64_t name_number(hy_schedule *s, const char *name) {
    for (int i = 0; i < s->n_names; i++) {
        if (strcmp(s->names[i], name) == 0) {
            return i;
        }
    }
    int64_t limit = s->limit_names;
    if (!grow(s, (void **)&s->names, s->n_names, &limit, sizeof *s->names)) {
        return 0;
    }
    s->limit_names = (int)limit;
    s->names[s->n_names] = name;
    return s->n_names++;
}

int32_t hy_schedule_post(hy_schedule *s, const char *name) {
    s->step_is_over = false;
    append(s, (hy_event){.kind = HY_EVENT_POST, .a = s->exchanges, .b = name_number(s, name)});
    return s->exchanges++;
}

void hy_schedule_message(hy_schedule *s, bool send, int comm, int peer, uint64_t tag, int64_t bytes) {
    if (s->step_is_over) {
        append(s, (hy_event){.kind = HY_EVENT_STEP});
        s->step_is_over = false;
    }
    hy_event event = {.kind = send ? HY_EVENT_SEND : HY_EVENT_RECV, .a = peer, .b = bytes};
    event.at.comm = (uint16_t)comm;
    event.at.tag = tag & (((uint64_t)1 << 48) - 1);
    append(s, event);
}

void hy_schedule_wait(hy_schedule *s, int32_t exchange) {
    append(s, (hy_event){.kind = HY_EVENT_WAIT, .a = exchange});
    s->waited = exchange;
}

int hy_schedule_add_comm(hy_schedule *s, int color, int rank, int size) {
    int64_t limit = s->limit_comms;
    if (!grow(s, (void **)&s->comms, s->n_comms, &limit, sizeof *s->comms)) {
        return 0;
    }
    s->limit_comms = (int)limit;
    s->comms[s->n_comms] = (hy_schedule_comm){.color = color, .rank = rank, .size = size};
    return s->n_comms++;
}

void hy_schedule_clear(hy_schedule *s) {
    hy_free(s->events);
    hy_free(s->names);
    hy_free(s->comms);
    *s = (hy_schedule){.waited = -1};
}
