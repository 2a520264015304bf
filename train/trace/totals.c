#include "train/trace/totals.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { SLOTS = 4 * HY_TOTALS_MAX };
static const double SHORTEST = 1e-6; /* seconds: the end of the first class */

struct hy_totals {
    hy_total rows[HY_TOTALS_MAX];
    int64_t n;
    int16_t slots[SLOTS]; /* row + 1; open addressing */
};

hy_status hy_totals_create(hy_totals **out) {
    return HY_NEW("totals of a trace", 1, out);
}

size_t hy_totals_bytes(void) {
    return sizeof(hy_totals);
}

void hy_totals_destroy(hy_totals *totals) {
    hy_free(totals);
}

static bool same_row(const hy_total *a, const hy_total *b) {
    return a->kind == b->kind && a->exchange == b->exchange && a->block == b->block && a->size == b->size &&
           (a->name == b->name || strcmp(a->name, b->name) == 0);
}

static uint64_t row_hash(const hy_total *row) {
    uint64_t h = (uint64_t)(row->kind * 8191 + row->exchange * 131 + row->block * 17 + row->size);
    for (const char *c = row->name; *c != '\0'; c++) {
        h = h * 1099511628211u + (uint64_t)(unsigned char)*c;
    }
    return h ^ (h >> 29);
}

/* The row like `like`, there or new. */
static hy_total *find_total(hy_totals *totals, const hy_total *like) {
    for (uint64_t at = row_hash(like) % SLOTS;; at = (at + 1) % SLOTS) {
        if (totals->slots[at] == 0) {
            if (totals->n == HY_TOTALS_MAX) {
                return &totals->rows[HY_TOTALS_MAX - 1];
            }
            totals->slots[at] = (int16_t)(totals->n + 1);
            hy_total *row = &totals->rows[totals->n++];
            *row = *like;
            row->name = totals->n == HY_TOTALS_MAX ? "(others)" : like->name;
            return row;
        }
        hy_total *row = &totals->rows[totals->slots[at] - 1];
        if (same_row(row, like)) {
            return row;
        }
    }
}

static int class_of(double seconds) {
    const double octaves = seconds > SHORTEST ? log2(seconds / SHORTEST) : 0.0;
    const int class = (int)(4.0 * octaves);
    return class < HY_TOTAL_CLASSES ? class : HY_TOTAL_CLASSES - 1;
}

static void settle_row(hy_total *row, const hy_busy *busy) {
    row->total += row->to - row->from;
    row->hidden += hy_busy_within(busy, row->from, row->to);
    row->from = row->to = 0.0;
}

static void add_exchange(hy_totals *totals, const hy_span *s, const hy_busy *busy) {
    hy_total *row = find_total(totals, &(hy_total){.name = s->name,
                                                   .kind = HY_SPAN_EXCHANGE,
                                                   .exchange = s->exchange,
                                                   .block = s->place.block,
                                                   .size = s->size});
    row->count++;
    row->bytes += s->bytes;
    row->unsure += s->end - s->not_yet;
    row->took[class_of(s->end - s->started)]++;
    if (s->started > row->to || row->to == 0.0) {
        settle_row(row, busy);
        row->from = s->started;
    }
    row->to = s->end > row->to ? s->end : row->to;
}

static hy_total *own_row(hy_totals *totals, const hy_span *s) {
    return find_total(totals, &(hy_total){.name = s->name, .kind = s->kind, .block = -1});
}

/* A wait belongs to the row of its exchange: same name and place or not, that is found by number. */
static void add_wait(hy_totals *totals, const hy_span *spans, int64_t at) {
    const hy_span *wait = &spans[at];
    for (int64_t i = at - 1; i >= 0; i--) {
        const hy_span *s = &spans[i];
        if (s->number == wait->of) {
            find_total(totals, &(hy_total){.name = s->name,
                                           .kind = HY_SPAN_EXCHANGE,
                                           .exchange = s->exchange,
                                           .block = s->place.block,
                                           .size = s->size})
                ->waited += wait->end - wait->begin;
            return;
        }
    }
}

void hy_totals_add(hy_totals *totals, const hy_span *spans, int64_t n, const hy_busy *busy) {
    for (int64_t i = 0; i < n; i++) {
        const hy_span *s = &spans[i];
        if (s->kind == HY_SPAN_EXCHANGE) {
            add_exchange(totals, s, busy);
        } else if (s->kind == HY_SPAN_WAIT) {
            add_wait(totals, spans, i);
        } else if (s->kind == HY_SPAN_WORK || s->kind == HY_SPAN_HOST) {
            hy_total *row = own_row(totals, s);
            row->count++;
            row->total += s->kind == HY_SPAN_WORK ? hy_busy_within(busy, s->begin, s->end) : s->end - s->begin;
        }
    }
}

void hy_totals_settle(hy_totals *totals, const hy_busy *busy) {
    for (int64_t i = 0; i < totals->n; i++) {
        settle_row(&totals->rows[i], busy);
    }
}

void hy_totals_merge(hy_totals *totals, const hy_total *rows, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const hy_total *from = &rows[i];
        hy_total *to = find_total(totals, &(hy_total){.name = from->name,
                                                      .kind = from->kind,
                                                      .exchange = from->exchange,
                                                      .block = from->block,
                                                      .size = from->size});
        to->count += from->count;
        to->bytes += from->bytes;
        to->total += from->total;
        to->hidden += from->hidden;
        to->waited += from->waited;
        to->unsure += from->unsure;
        for (int c = 0; c < HY_TOTAL_CLASSES; c++) {
            to->took[c] += from->took[c];
        }
    }
}

const hy_total *hy_totals_rows(const hy_totals *totals, int64_t *n) {
    *n = totals->n;
    return totals->rows;
}

double hy_total_quantile(const hy_total *total, double share) {
    double seen = 0.0;
    for (int c = 0; c < HY_TOTAL_CLASSES; c++) {
        const double here = (double)total->took[c];
        if (here > 0.0 && seen + here >= share * (double)total->count) {
            return SHORTEST * exp2(0.25 * ((double)c + 0.5)); /* the middle of the class */
        }
        seen += here;
    }
    return 0.0;
}
