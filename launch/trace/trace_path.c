/* The critical path of a step and what to change, in words. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "launch/trace/trace_tables.h"

enum { LINES_MAX = 512, SHOWN = 15 };

/* Parts of the path that are alike. */
typedef struct path_line {
    const hy_path_part *like;
    double seconds;
    int64_t count;
} path_line;

static bool same_line(const hy_path_part *a, const hy_path_part *b) {
    if (a->rank != b->rank || a->from != b->from || a->kind != b->kind || (a->span == NULL) != (b->span == NULL)) {
        return false;
    }
    return a->span == NULL ||
           (a->span->place.block == b->span->place.block && a->span->place.phase == b->span->place.phase &&
            strcmp(a->span->name, b->span->name) == 0);
}

static int gather_lines(const hy_path *path, path_line *lines) {
    int n = 0;
    for (int64_t i = 0; i < path->n; i++) {
        const hy_path_part *p = &path->parts[i];
        int at = 0;
        while (at < n && !same_line(lines[at].like, p)) {
            at++;
        }
        if (at == n && n < LINES_MAX) {
            lines[n++] = (path_line){.like = p};
        }
        if (at < n) {
            lines[at].seconds += p->end - p->begin;
            lines[at].count++;
        }
    }
    return n;
}

static int by_seconds(const void *a, const void *b) {
    const path_line *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void put_line(hy_text_table *table, const path_line *line, double whole) {
    static const char *const phases[] = {"forward", "recompute", "backward"};
    const hy_path_part *p = line->like;
    const hy_span *s = p->span;
    char layer[16], what[160];
    if (p->kind == HY_SPAN_EXCHANGE && p->from != p->rank) {
        snprintf(what, sizeof what, "exchange '%s': it waited for rank %lld to post", s->name, (long long)p->from);
    } else if (p->kind == HY_SPAN_WAIT) {
        snprintf(what, sizeof what, "wait for '%s'", s->name);
    } else if (p->kind == HY_SPAN_EXCHANGE) {
        snprintf(what, sizeof what, "exchange '%s' under way", s->name);
    } else {
        snprintf(what, sizeof what, "%s", s != NULL ? s->name : "(no span)");
    }
    hy_text_table_cell(table, "%.3f", 1e3 * line->seconds);
    hy_text_table_cell(table, "%.1f%%", 100.0 * line->seconds / whole);
    hy_text_table_cell(table, "%lld", (long long)line->count);
    hy_text_table_cell(table, "%lld", (long long)p->rank);
    hy_text_table_cell(table, "%s", what);
    hy_text_table_cell(table, "%s", s != NULL ? hy_trace_layer(s->place.block, layer) : "-");
    hy_text_table_cell(table, "%s",
                       s != NULL && s->place.node >= 0 && s->place.phase < 3 ? phases[s->place.phase] : "-");
}

/* Ranks that the path is on, each with its share. */
static void print_shares(const hy_run_trace *trace, const hy_path *path) {
    printf("it lies on");
    for (int64_t r = 0; r < trace->ranks; r++) {
        double seconds = 0.0;
        for (int64_t i = 0; i < path->n; i++) {
            const hy_path_part *p = &path->parts[i];
            seconds += p->rank == r && p->kind != HY_SPAN_EXCHANGE ? p->end - p->begin : 0.0;
        }
        if (seconds > 0.005 * path->seconds) {
            printf(" rank %lld %.0f%%,", (long long)r, 100.0 * seconds / path->seconds);
        }
    }
    double flight = 0.0;
    for (int64_t i = 0; i < path->n; i++) {
        const hy_path_part *p = &path->parts[i];
        flight += p->kind == HY_SPAN_EXCHANGE ? p->end - p->begin : 0.0;
    }
    printf(" exchanges %.0f%%\n\n", 100.0 * flight / path->seconds);
}

hy_status hy_trace_print_path(const hy_run_trace *trace, const hy_path *path, int64_t step) {
    path_line *lines = NULL;
    hy_text_table *table = NULL;
    HY_TRY(HY_NEW("lines of the critical path", LINES_MAX, &lines));
    hy_status status =
        hy_text_table_create(7, (const char *const[]){"ms", "share", "times", "rank", "what", "layer", "pass"}, &table);
    if (status == HY_OK) {
        const int n = gather_lines(path, lines);
        qsort(lines, (size_t)n, sizeof *lines, by_seconds);
        printf("\ncritical path of step %lld, %.3f ms: ", (long long)step, 1e3 * path->seconds);
        print_shares(trace, path);
        for (int i = 0; i < n && i < SHOWN; i++) {
            put_line(table, &lines[i], path->seconds);
        }
        status = hy_text_table_print(table, stdout);
    }
    hy_text_table_destroy(table);
    hy_free(lines);
    return status;
}

void hy_trace_print_advice(const hy_advice *advice, int n, double step_seconds) {
    printf("\nwhat to change first%s\n", n > 0 ? ", and what it can give at most:" : ": nothing stands out");
    for (int i = 0; i < n; i++) {
        printf("%3d. %s: %.3f ms of %.3f (%.0f%%)\n", i + 1, advice[i].text, 1e3 * advice[i].gain, 1e3 * step_seconds,
               100.0 * advice[i].gain / step_seconds);
    }
}
