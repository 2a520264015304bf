#include "train/trace/critical_path.h"

#include "base/memory.h"

static const double SHORTEST_WAIT = 1e-6; /* seconds: a wait that found its exchange complete */

typedef struct path_walk {
    const hy_run_trace *trace;
    const hy_match *match;
    hy_path_part *parts; /* from the last to the first */
    int64_t n, room, rank;
    double time;
} path_walk;

static hy_status add_part(path_walk *w, hy_path_part part) {
    if (part.end <= part.begin) {
        return HY_OK;
    }
    HY_TRY(HY_GROW("critical path", w->n + 1, &w->room, &w->parts));
    w->parts[w->n++] = part;
    return HY_OK;
}

/* From w->time back to `to` nothing is known of what the rank did. */
static hy_status add_gap(path_walk *w, double to) {
    const hy_path_part gap = {w->rank, w->rank, HY_SPAN_HOST, NULL, to, w->time};
    w->time = to < w->time ? to : w->time;
    return add_part(w, gap);
}

/* The wait `tile` ended at w->time: back through the transfer, to who posted last. */
static hy_status pass_wait(path_walk *w, const hy_tile *tile, double begin) {
    const hy_traced_rank *r = &w->trace->rank[w->rank];
    const int64_t exchange = r->waits_for[tile->span - r->file.spans];
    const hy_exchange_end *latest = exchange >= 0 ? hy_match_latest(w->match, w->rank, exchange) : NULL;
    /* an exchange that is complete when the wait begins is not what it took */
    if (latest == NULL || latest->of->started >= w->time || r->file.spans[exchange].end <= tile->begin) {
        const double from = tile->begin > begin ? tile->begin : begin;
        const hy_path_part own = {w->rank, w->rank, HY_SPAN_WAIT, tile->span, from, w->time};
        w->time = from;
        return add_part(w, own);
    }
    const double from = latest->of->started > begin ? latest->of->started : begin;
    const hy_path_part flight = {w->rank, latest->rank, HY_SPAN_EXCHANGE, latest->of, from, w->time};
    w->time = from;
    w->rank = latest->rank;
    return add_part(w, flight);
}

/* One tile back on w->rank, at most to `begin`. */
static hy_status walk_back(path_walk *w, double begin) {
    const hy_traced_rank *r = &w->trace->rank[w->rank];
    int64_t at = hy_tile_at(r, w->time); /* it may have begun before w->time */
    if (at == r->n_tiles || r->tiles[at].begin >= w->time) {
        at--;
    }
    if (at < 0 || r->tiles[at].end <= begin) {
        return add_gap(w, begin);
    }
    const hy_tile *tile = &r->tiles[at];
    if (tile->end < w->time) {
        HY_TRY(add_gap(w, tile->end));
    }
    if (tile->kind == HY_SPAN_WAIT && tile->end - tile->begin > SHORTEST_WAIT) {
        return pass_wait(w, tile, begin);
    }
    const double from = tile->begin > begin ? tile->begin : begin;
    const hy_path_part own = {w->rank, w->rank, tile->kind, tile->span, from, w->time};
    w->time = from;
    return add_part(w, own);
}

static void turn_around(hy_path_part *parts, int64_t n) {
    for (int64_t i = 0; i < n / 2; i++) {
        const hy_path_part part = parts[i];
        parts[i] = parts[n - 1 - i];
        parts[n - 1 - i] = part;
    }
}

hy_status hy_path_find(const hy_run_trace *trace, const hy_match *match, int64_t step, hy_path *out) {
    path_walk w = {.trace = trace, .match = match};
    double begin = 0.0;
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_trace_step *window = hy_run_trace_step(trace, r, step);
        if (window != NULL && window->end > w.time) {
            w.time = window->end;
            w.rank = r;
        }
        if (window != NULL && (begin == 0.0 || window->begin < begin)) {
            begin = window->begin;
        }
    }
    const double end = w.time;
    hy_status status = HY_OK;
    while (status == HY_OK && w.time > begin) {
        status = walk_back(&w, begin);
    }
    if (status != HY_OK) {
        hy_free(w.parts);
        return status;
    }
    turn_around(w.parts, w.n);
    *out = (hy_path){w.parts, w.n, end - begin};
    return HY_OK;
}
