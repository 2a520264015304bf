#include "comm/schedule.h"

#include <string.h>

#include "base/memory.h"

/* The first failure is the schedule's. */
static bool has_room(hy_schedule *s, hy_status status) {
    s->status = s->status == HY_OK ? status : s->status;
    return status == HY_OK;
}

static void append(hy_schedule *s, hy_event event) {
    if (!s->stopped && has_room(s, HY_GROW("schedule", s->n + 1, &s->limit, &s->events))) {
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

void hy_schedule_early(hy_schedule *s, hy_early early) {
    append(s, (hy_event){.kind = HY_EVENT_EARLY, .a = (int32_t)early});
}

static int32_t name_number(hy_schedule *s, const char *name) {
    for (int i = 0; i < s->n_names; i++) {
        if (strcmp(s->names[i], name) == 0) {
            return i;
        }
    }
    if (!has_room(s, HY_GROW("schedule", s->n_names + 1, &s->limit_names, &s->names))) {
        return 0;
    }
    s->names[s->n_names] = name;
    return s->n_names++;
}

/* ---- exchanges ---- */

static void append_part(hy_schedule *s, hy_part part) {
    if (s->open && has_room(s, HY_GROW("schedule", s->n_parts + 1, &s->limit_parts, &s->parts))) {
        s->parts[s->n_parts++] = part;
    }
}

/* Room for a body; it is none before its end. */
static bool open_body(hy_schedule *s) {
    if (s->stopped || !has_room(s, HY_GROW("schedule", s->n_bodies + 1, &s->limit_bodies, &s->bodies))) {
        return false;
    }
    s->bodies[s->n_bodies] = (hy_body){.first = s->n_parts};
    return true;
}

int32_t hy_schedule_post(hy_schedule *s, const char *name) {
    s->step_is_over = false;
    s->open = open_body(s);
    append(s, (hy_event){.kind = HY_EVENT_POST, .a = s->exchanges, .how = {name_number(s, name), s->n_bodies}});
    return s->exchanges++;
}

static bool same_bodies(const hy_schedule *s, const hy_body *a, const hy_body *b) {
    return a->n == b->n &&
           (a->n == 0 || memcmp(&s->parts[a->first], &s->parts[b->first], (size_t)a->n * sizeof *s->parts) == 0);
}

void hy_schedule_post_end(hy_schedule *s) {
    if (!s->open || s->status != HY_OK) {
        return;
    }
    hy_body *body = &s->bodies[s->n_bodies];
    int same = 0;
    s->open = false;
    body->n = s->n_parts - body->first;
    while (same < s->n_bodies && !same_bodies(s, &s->bodies[same], body)) {
        same++;
    }
    if (same < s->n_bodies) {
        s->n_parts = body->first;
    }
    s->n_bodies += same == s->n_bodies;
    s->events[s->n - 1].how.body = same;
}

void hy_schedule_message(hy_schedule *s, bool send, int comm, int peer, uint64_t tag, int64_t bytes) {
    if (!s->open || s->status != HY_OK) {
        return;
    }
    if (s->step_is_over) {
        append_part(s, (hy_part){.kind = HY_PART_STEP});
        s->step_is_over = false;
    }
    append_part(s, (hy_part){.kind = send ? HY_PART_SEND : HY_PART_RECV, .peer = peer, .bytes = bytes});
    hy_event *post = &s->events[s->n - 1];
    post->at.comm = (uint16_t)comm;
    post->at.tag = tag & (((uint64_t)1 << 48) - 1);
}

void hy_schedule_wait(hy_schedule *s, int32_t exchange) {
    append(s, (hy_event){.kind = HY_EVENT_WAIT, .a = exchange});
    s->waited = exchange;
}

int hy_schedule_add_comm(hy_schedule *s, int color, int rank, int size) {
    if (!has_room(s, HY_GROW("schedule", s->n_comms + 1, &s->limit_comms, &s->comms))) {
        return 0;
    }
    s->comms[s->n_comms] = (hy_schedule_comm){.color = color, .rank = rank, .size = size};
    return s->n_comms++;
}

void hy_schedule_clear(hy_schedule *s) {
    hy_free(s->events);
    hy_free(s->parts);
    hy_free(s->bodies);
    hy_free(s->names);
    hy_free(s->comms);
    *s = (hy_schedule){.waited = -1};
}
