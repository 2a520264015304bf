#include "base/time_queue.h"

#include "base/memory.h"

static bool is_before(const hy_time_entry *a, const hy_time_entry *b) {
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

hy_status hy_time_queue_add(hy_time_queue *q, double when, int64_t what, int64_t version) {
    HY_TRY(HY_GROW("queue of events", q->n + 1, &q->limit, &q->heap));
    const hy_time_entry e = {.when = when, .order = q->added++, .what = what, .version = version};
    int64_t at = q->n++;
    for (; at > 0 && is_before(&e, &q->heap[(at - 1) / 2]); at = (at - 1) / 2) {
        q->heap[at] = q->heap[(at - 1) / 2];
    }
    q->heap[at] = e;
    return HY_OK;
}

const hy_time_entry *hy_time_queue_first(const hy_time_queue *q) {
    return q->n > 0 ? &q->heap[0] : NULL;
}

void hy_time_queue_drop_first(hy_time_queue *q) {
    const hy_time_entry e = q->heap[--q->n];
    int64_t at = 0;
    for (int64_t below = 1; below < q->n; below = 2 * at + 1) {
        if (below + 1 < q->n && is_before(&q->heap[below + 1], &q->heap[below])) {
            below++;
        }
        if (!is_before(&q->heap[below], &e)) {
            break;
        }
        q->heap[at] = q->heap[below];
        at = below;
    }
    q->heap[at] = e;
}

void hy_time_queue_clear(hy_time_queue *q) {
    hy_free(q->heap);
    *q = (hy_time_queue){0};
}
