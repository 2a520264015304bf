#include "base/time_queue.h"

#include <string.h>

#include "base/memory.h"

enum { NONE = -1 };

/* ---- moments ---- */

static bool is_before(const hy_moment *a, const hy_moment *b) {
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static int64_t *recent_of(hy_time_queue *q, double when) {
    uint64_t bits;
    memcpy(&bits, &when, sizeof bits);
    return &q->recent[(bits * 0x9E3779B97F4A7C15u) >> 58];
}

static hy_status take_moment(hy_time_queue *q, double when, int64_t *out) {
    HY_TRY(HY_GROW("queue of events", q->n + 1, &q->limit, &q->heap));
    if (q->spare_moment != 0) {
        *out = q->spare_moment - 1;
        q->spare_moment = q->moments[*out].last;
    } else {
        HY_TRY(HY_GROW("moments", q->n_moments + 1, &q->limit_moments, &q->moments));
        *out = q->n_moments++;
    }
    q->moments[*out] = (hy_moment){.when = when, .order = q->added++, .first = NONE, .last = NONE};
    return HY_OK;
}

static void sift_up(hy_time_queue *q, int64_t moment) {
    int64_t at = q->n++;
    for (; at > 0 && is_before(&q->moments[moment], &q->moments[q->heap[(at - 1) / 2]]); at = (at - 1) / 2) {
        q->heap[at] = q->heap[(at - 1) / 2];
    }
    q->heap[at] = moment;
}

static void drop_first_moment(hy_time_queue *q) {
    const int64_t over = q->heap[0], moved = q->heap[--q->n];
    int64_t at = 0;
    for (int64_t below = 1; below < q->n; below = 2 * at + 1) {
        if (below + 1 < q->n && is_before(&q->moments[q->heap[below + 1]], &q->moments[q->heap[below]])) {
            below++;
        }
        if (!is_before(&q->moments[q->heap[below]], &q->moments[moved])) {
            break;
        }
        q->heap[at] = q->heap[below];
        at = below;
    }
    q->heap[at] = moved;
    q->moments[over].last = q->spare_moment;
    q->spare_moment = over + 1;
}

/* ---- entries ---- */

static hy_status take_entry(hy_time_queue *q, int64_t *out) {
    if (q->spare_entry != 0) {
        *out = q->spare_entry - 1;
        q->spare_entry = q->entries[*out].next;
        return HY_OK;
    }
    HY_TRY(HY_GROW("events", q->n_entries + 1, &q->limit_entries, &q->entries));
    *out = q->n_entries++;
    return HY_OK;
}

hy_status hy_time_queue_add(hy_time_queue *q, double when, int64_t what, int64_t version) {
    int64_t *recent = recent_of(q, when), moment = *recent - 1, at = NONE;
    const bool has = moment != NONE && q->moments[moment].first != NONE && q->moments[moment].when == when;
    HY_TRY(take_entry(q, &at));
    HY_TRY(has ? HY_OK : take_moment(q, when, &moment));
    q->entries[at] = (hy_time_entry){.when = when, .what = what, .version = version, .next = NONE};
    if (has) {
        q->entries[q->moments[moment].last].next = at;
        q->moments[moment].last = at;
        return HY_OK;
    }
    q->moments[moment].first = q->moments[moment].last = at;
    *recent = moment + 1;
    sift_up(q, moment);
    return HY_OK;
}

const hy_time_entry *hy_time_queue_first(const hy_time_queue *q) {
    return q->n > 0 ? &q->entries[q->moments[q->heap[0]].first] : NULL;
}

void hy_time_queue_drop_first(hy_time_queue *q) {
    hy_moment *m = &q->moments[q->heap[0]];
    const int64_t at = m->first;
    m->first = q->entries[at].next;
    q->entries[at].next = q->spare_entry;
    q->spare_entry = at + 1;
    if (m->first == NONE) {
        drop_first_moment(q);
    }
}

void hy_time_queue_clear(hy_time_queue *q) {
    hy_free(q->entries);
    hy_free(q->moments);
    hy_free(q->heap);
    *q = (hy_time_queue){0};
}
