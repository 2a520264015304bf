#include "train/trace/busy.h"

#include <string.h>

static double least(double a, double b) {
    return a < b ? a : b;
}

static void add_part(hy_busy *busy, double begin, double end, const hy_span *span) {
    if (end > begin) {
        const hy_busy_part *last = busy->n > 0 ? &busy->parts[busy->n - 1] : NULL;
        const double before = last != NULL ? last->before + (last->end - last->begin) : 0.0;
        busy->parts[busy->n++] = (hy_busy_part){begin, end, before, span};
    }
}

/* Of the work that is being added, from `from` on, the part up to the hole; then it goes on behind the hole. */
static void cut_hole(hy_busy *busy, const hy_span *work, double *from, const hy_span *hole) {
    if (work != NULL && hole->end > *from && hole->begin < work->end) {
        add_part(busy, *from, hole->begin, work);
        *from = hole->end;
    }
}

void hy_busy_add(hy_busy *busy, const hy_span *spans, int64_t n, bool lanes) {
    const hy_span *work = NULL;
    double from = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const hy_span *s = &spans[i];
        if (s->kind == HY_SPAN_WORK) {
            if (work != NULL) {
                add_part(busy, from, least(work->end, s->begin), work);
            }
            work = s;
            from = s->begin;
        } else if (s->kind == HY_SPAN_WAIT || (s->kind == HY_SPAN_MOVE && !lanes)) {
            cut_hole(busy, work, &from, s);
        }
    }
    if (work != NULL) {
        add_part(busy, from, work->end, work);
    }
}

void hy_busy_forget(hy_busy *busy, double time) {
    const int64_t gone = hy_busy_at(busy, time);
    busy->n -= gone;
    memmove(busy->parts, busy->parts + gone, (size_t)busy->n * sizeof *busy->parts);
}

int64_t hy_busy_at(const hy_busy *busy, double time) {
    int64_t low = 0, high = busy->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (busy->parts[middle].end > time) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Seconds of computing up to `time`, from some beginning. */
static double busy_until(const hy_busy *busy, double time) {
    const int64_t i = hy_busy_at(busy, time);
    if (i == busy->n) {
        return busy->n > 0 ? busy->parts[i - 1].before + (busy->parts[i - 1].end - busy->parts[i - 1].begin) : 0.0;
    }
    return busy->parts[i].before + (time > busy->parts[i].begin ? time - busy->parts[i].begin : 0.0);
}

double hy_busy_within(const hy_busy *busy, double begin, double end) {
    return end > begin ? busy_until(busy, end) - busy_until(busy, begin) : 0.0;
}
