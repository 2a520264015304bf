/* One step on all ranks: what each did, below it what exchanges it had in flight, and the critical path through them. */
#include <string.h>

#include "launch/plot/plot_axis.h"
#include "launch/plot/strip.h"
#include "launch/trace/trace_pictures.h"

enum {
    LEFT = 80,
    RIGHT = 20,
    TOP = 64,
    FOOT = 44,
    RANKS_SHOWN = 24,
    OWN_HEIGHT = 18,
    FLIGHT_HEIGHT = 8,
    BELOW = 14,
    PATH_ABOVE = 3 /* the critical path runs so far above a rank's row */
};

static const char *const own_classes[HY_STRIP_KINDS] = {"f0", "f4", "f3", "f7"};    /* compute, wait, move, host */
static const char *const flight_classes[HY_STRIP_KINDS] = {"f2", "f1", "f2", "f1"}; /* hidden, exposed */

typedef struct timeline {
    const hy_trace_analysis *a;
    FILE *out;
    double begin, end;         /* of the step, all ranks */
    int64_t rank[RANKS_SHOWN]; /* shown, ascending */
    int n, row;                /* row: pixels from one rank to the next */
    bool lanes;
} timeline;

/* ---- which ranks ---- */

static double on_path(const hy_path *path, int64_t rank) {
    double seconds = 0.0;
    for (int64_t i = 0; i < path->n; i++) {
        seconds += path->parts[i].rank == rank ? path->parts[i].end - path->parts[i].begin : 0.0;
    }
    return seconds;
}

/* Where a rank is shown; −1: it is not. */
static int row_of(const timeline *t, int64_t rank) {
    for (int i = 0; i < t->n; i++) {
        if (t->rank[i] == rank) {
            return i;
        }
    }
    return -1;
}

/* In ascending order, at the place it belongs. */
static void show_rank(timeline *t, int64_t rank) {
    int at = t->n;
    for (; at > 0 && t->rank[at - 1] > rank; at--) {
        t->rank[at] = t->rank[at - 1];
    }
    t->rank[at] = rank;
    t->n++;
}

/* Those that the critical path is longest on; ranks off the path in their order. */
static void choose_ranks(timeline *t) {
    while (t->n < RANKS_SHOWN && t->n < t->a->trace.ranks) {
        int64_t best = -1;
        double most = -1.0;
        for (int64_t r = 0; r < t->a->trace.ranks; r++) {
            const double seconds = row_of(t, r) < 0 ? on_path(&t->a->path, r) : -1.0;
            if (seconds > most) {
                most = seconds;
                best = r;
            }
        }
        show_rank(t, best);
    }
}

static void find_window(timeline *t) {
    for (int64_t r = 0; r < t->a->trace.ranks; r++) {
        const hy_trace_step *window = hy_run_trace_step(&t->a->trace, r, t->a->longest);
        if (window != NULL) {
            t->begin = t->begin == 0.0 || window->begin < t->begin ? window->begin : t->begin;
            t->end = window->end > t->end ? window->end : t->end;
        }
    }
    t->end = t->end > t->begin ? t->end : t->begin + 1e-9;
}

/* ---- rows ---- */

static double x_of(const timeline *t, double time) {
    return LEFT + (HY_SVG_WIDTH - LEFT - RIGHT) * (time - t->begin) / (t->end - t->begin);
}

static double y_of(const timeline *t, int row) {
    return TOP + (double)t->row * row;
}

static hy_strip strip_at(const timeline *t, double y, double height, const char *const *classes) {
    return (hy_strip){.out = t->out,
                      .left = LEFT,
                      .top = y,
                      .width = HY_SVG_WIDTH - LEFT - RIGHT,
                      .height = height,
                      .begin = t->begin,
                      .end = t->end,
                      .classes = classes};
}

static void name_span(const hy_span *s, const char *what, double seconds, char *text, size_t size) {
    static const char *const phases[] = {"forward", "recompute", "backward"};
    char place[64] = "";
    if (s->place.block > 0 && s->place.phase >= 0 && s->place.phase < 3) {
        (void)snprintf(place, sizeof place, ", layer %d%s%s", s->place.block - 1, s->place.node >= 0 ? ", " : "",
                       s->place.node >= 0 ? phases[s->place.phase] : "");
    }
    (void)snprintf(text, size, "%s%s%s: %.3f ms", what, s->name, place, 1e3 * seconds);
}

static int kind_of_tile(hy_span_kind kind) {
    return kind == HY_SPAN_WORK ? 0 : kind == HY_SPAN_WAIT ? 1 : kind == HY_SPAN_MOVE ? 2 : 3;
}

static void add_stretch(hy_strip *strip, const hy_span *s, hy_span_kind kind, double begin, double end) {
    char tip[200];
    name_span(s, kind == HY_SPAN_WAIT ? "wait for " : "", end - begin, tip, sizeof tip);
    hy_strip_add(strip, kind_of_tile(kind), begin, end, tip);
}

static void put_own(const timeline *t, const hy_traced_rank *r, double y) {
    hy_strip strip = strip_at(t, y, OWN_HEIGHT, own_classes);
    for (int64_t i = hy_tile_at(r, t->begin); i < r->n_tiles && r->tiles[i].begin < t->end; i++) {
        const hy_tile *tile = &r->tiles[i];
        add_stretch(&strip, tile->span, tile->kind, tile->begin, tile->end);
    }
    hy_strip_finish(&strip);
}

/* What the host does beside a lane. */
static void put_host(const timeline *t, const hy_traced_rank *r, double y) {
    hy_strip strip = strip_at(t, y, FLIGHT_HEIGHT, own_classes);
    for (int64_t i = 0; i < r->file.n_spans; i++) {
        const hy_span *s = &r->file.spans[i];
        if ((s->kind == HY_SPAN_HOST || s->kind == HY_SPAN_MOVE) && s->end > t->begin && s->begin < t->end) {
            add_stretch(&strip, s, (hy_span_kind)s->kind, s->begin, s->end);
        }
    }
    hy_strip_finish(&strip);
}

/* A stretch with something in flight: by turns hidden and exposed. */
static void add_flight(hy_strip *strip, const hy_busy *busy, double begin, double end) {
    for (int64_t i = hy_busy_at(busy, begin); i < busy->n && busy->parts[i].begin < end; i++) {
        const double from = busy->parts[i].begin > begin ? busy->parts[i].begin : begin,
                     to = busy->parts[i].end < end ? busy->parts[i].end : end;
        hy_strip_add(strip, 1, begin, from, "an exchange in flight, exposed");
        hy_strip_add(strip, 0, from, to, "an exchange in flight, hidden");
        begin = to;
    }
    hy_strip_add(strip, 1, begin, end, "an exchange in flight, exposed");
}

/* Exchanges start nearly in the order in which they are posted: what has been drawn is not drawn again. */
static void put_flights(const timeline *t, const hy_traced_rank *r, double y) {
    hy_strip strip = strip_at(t, y, FLIGHT_HEIGHT, flight_classes);
    double drawn = t->begin;
    for (int64_t i = 0; i < r->file.n_spans; i++) {
        const hy_span *s = &r->file.spans[i];
        const double from = s->started > drawn ? s->started : drawn, to = s->end < t->end ? s->end : t->end;
        if (s->kind == HY_SPAN_EXCHANGE && to > from) {
            add_flight(&strip, &r->busy, from, to);
            drawn = to;
        }
    }
    hy_strip_finish(&strip);
}

static void put_rank(const timeline *t, int row) {
    const hy_traced_rank *r = &t->a->trace.rank[t->rank[row]];
    const double y = y_of(t, row), width = HY_SVG_WIDTH - LEFT - RIGHT;
    hy_svg_rect(t->out, "lane", LEFT, y, width, OWN_HEIGHT, NULL);
    hy_svg_text(t->out, "end", LEFT - 8.0, y + 13.0, "rank %lld", (long long)t->rank[row]);
    put_own(t, r, y);
    put_flights(t, r, y + OWN_HEIGHT + 2.0);
    if (t->lanes) {
        put_host(t, r, y + OWN_HEIGHT + FLIGHT_HEIGHT + 4.0);
    }
}

/* ---- the path ---- */

/* Along the rank that did something, and across from who posted last to who waited. */
static void put_path(const timeline *t) {
    bool move = true;
    double x = 0.0, y = 0.0;
    hy_svg_path_open(t->out, "path");
    for (int64_t i = 0; i < t->a->path.n; i++) {
        const hy_path_part *p = &t->a->path.parts[i];
        const int from = row_of(t, p->from), to = row_of(t, p->rank);
        if (from < 0 || to < 0) {
            move = true;
            continue;
        }
        const double y1 = y_of(t, from) - PATH_ABOVE, y2 = y_of(t, to) - PATH_ABOVE, x2 = x_of(t, p->end);
        if (move || x != x_of(t, p->begin) || y != y1) {
            hy_svg_path_point(t->out, move, x_of(t, p->begin), y1);
        }
        hy_svg_path_point(t->out, false, x2, y2);
        x = x2;
        y = y2;
        move = false;
    }
    hy_svg_path_close(t->out);
}

/* ---- all of it ---- */

static void put_time_axis(const timeline *t) {
    const hy_axis axis = {0.0, 1e3 * (t->end - t->begin), false};
    const double bottom = y_of(t, t->n) - BELOW / 2.0;
    double ticks[HY_TICKS_MAX];
    const int n = hy_axis_ticks(&axis, 9, ticks);
    for (int i = 0; i < n; i++) {
        const double x = x_of(t, t->begin + 1e-3 * ticks[i]);
        hy_svg_line(t->out, "grid", x, TOP - 6.0, x, bottom);
        hy_svg_text(t->out, "small mid", x, bottom + 15.0, "%s", hy_axis_text(ticks[i]).s);
    }
    hy_svg_text(t->out, "small mid dim", LEFT + (HY_SVG_WIDTH - LEFT - RIGHT) / 2.0, bottom + 31.0, "ms");
}

void hy_trace_draw_timeline(const void *context, FILE *out, bool alone) {
    static const char *const names[] = {
        "computing", "waiting", "moving exchanges", "host", "in flight, hidden", "in flight, exposed", "critical path"};
    static const char *const classes[] = {"f0", "f4", "f3", "f7", "f2", "f1", "mark"};
    const hy_trace_analysis *a = context;
    timeline t = {.a = a, .out = out, .lanes = a->trace.rank[0].file.info.clock == HY_TRACE_LANE};
    t.row = OWN_HEIGHT + FLIGHT_HEIGHT + BELOW + (t.lanes ? FLIGHT_HEIGHT + 2 : 0);
    choose_ranks(&t);
    find_window(&t);
    hy_svg_open(out, y_of(&t, t.n) + FOOT, "A step on all ranks, and its critical path", alone);
    hy_svg_text(out, "head", LEFT, 16.0, "step %lld, %.4g ms%s",
                (long long)a->trace.rank[0].file.steps[a->longest].step, 1e3 * (t.end - t.begin),
                t.n < a->trace.ranks ? "; of the ranks those with most of the critical path" : "");
    hy_svg_legend(out, LEFT, 24.0, HY_SVG_WIDTH - LEFT, names, classes, 7);
    put_time_axis(&t);
    for (int row = 0; row < t.n; row++) {
        put_rank(&t, row);
    }
    put_path(&t);
    hy_svg_close(out);
}
