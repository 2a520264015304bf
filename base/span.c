#include "base/span.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/span_marker.h"

static struct {
    hy_span *ring;
    int64_t capacity, n;
    bool paused;
    hy_span_place place;
    void (*stamp)(void *context, double *at);
    void *context;
    void (*take)(void *context);
    void *taker;
    int64_t taken;
    const hy_span_marker *marker;
} all = {.place = {-1, -1, -1, 0, 0}};

void hy_spans_record(hy_span *ring, int64_t capacity) {
    all.ring = ring;
    all.capacity = capacity;
    all.n = all.taken = 0;
    all.paused = false;
}

void hy_spans_pause(bool pause) {
    all.paused = pause;
}

bool hy_spans_are_recorded(void) {
    return all.ring != NULL && !all.paused;
}

int64_t hy_spans_count(void) {
    return all.n;
}

hy_span *hy_span_of(int64_t number) {
    const int inside = all.ring != NULL && number > 0 && number <= all.n && number > all.n - all.capacity;
    return inside ? &all.ring[(number - 1) % all.capacity] : NULL;
}

hy_span_place hy_span_here(void) {
    return all.place;
}

void hy_span_set_place(hy_span_place place) {
    all.place = place;
}

void hy_spans_set_clock(void (*stamp)(void *context, double *at), void *context) {
    all.stamp = stamp;
    all.context = context;
}

void hy_spans_set_taker(void (*take)(void *context), void *context) {
    all.take = take;
    all.taker = context;
}

void hy_spans_set_marker(const hy_span_marker *marker) {
    all.marker = marker;
}

void hy_spans_pass(void) {
    if (all.take != NULL && 2 * (all.n - all.taken) > all.capacity) {
        all.taken = all.n;
        all.take(all.taker);
    }
}

int64_t hy_span_add(hy_span_kind kind, const char *name, double begin, double end) {
    if (!hy_spans_are_recorded()) {
        return 0;
    }
    hy_span *s = &all.ring[all.n % all.capacity];
    *s = (hy_span){.name = name, .number = ++all.n, .kind = (int32_t)kind, .peer = -1, .place = all.place};
    s->begin = begin;
    s->end = end;
    if (kind == HY_SPAN_EXCHANGE && all.marker != NULL) {
        all.marker->post(name);
    }
    return s->number;
}

bool hy_spans_have_clock(void) {
    return all.stamp != NULL;
}

static void stamp_span(double *at) {
    if (all.stamp != NULL) {
        all.stamp(all.context, at);
    } else {
        *at = hy_now();
    }
}

int64_t hy_span_begin(hy_span_kind kind, const char *name) {
    const int64_t number = hy_span_add(kind, name, 0.0, 0.0);
    hy_span *s = hy_span_of(number);
    if (number > 0 && all.marker != NULL) {
        all.marker->begin(name);
    }
    if (s != NULL && kind == HY_SPAN_HOST) {
        s->begin = hy_now();
    } else if (s != NULL) {
        stamp_span(&s->begin);
    }
    return number;
}

void hy_span_end(int64_t number) {
    hy_span *s = hy_span_of(number);
    if (s != NULL && s->kind == HY_SPAN_HOST) {
        s->end = hy_now();
    } else if (s != NULL) {
        stamp_span(&s->end);
    }
    if (number > 0 && all.marker != NULL) {
        all.marker->end();
    }
}
