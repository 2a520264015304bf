/* The table of exchanges. Bus bandwidth is what a rank sent, as exchange records count it, over the time in flight; algorithm bandwidth is what the
 * caller asked for, whatever an algorithm sends for it (as nccl-tests define the two). */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "comm/comm.h"
#include "launch/trace/trace_tables.h"

const char *hy_trace_layer(int block, char text[16]) {
    if (block > 0) {
        (void)snprintf(text, 16, "%d", block - 1);
    } else {
        (void)snprintf(text, 16, "%s", block == 0 ? "ends" : "-");
    }
    return text;
}

/* The first that the steps posted themselves: before it are exchanges that were under way when they began. */
static int64_t first_span(const hy_rank_trace *file) {
    int64_t i = 0;
    while (i < file->n_spans && file->spans[i].place.step < file->steps[0].step) {
        i++;
    }
    return i;
}

/* The rows of all ranks as one; of the spans that were kept, or else of the files' totals. */
static hy_status all_totals(const hy_run_trace *trace, hy_totals *sum) {
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_traced_rank *rank = &trace->rank[r];
        if (!hy_trace_is_whole(trace)) {
            hy_totals_merge(sum, rank->file.totals, rank->file.n_totals);
            continue;
        }
        hy_totals *own = NULL;
        int64_t n = 0;
        HY_TRY(hy_totals_create(&own));
        const int64_t first = first_span(&rank->file);
        hy_totals_add(own, rank->file.spans + first, rank->file.n_spans - first, &rank->busy);
        hy_totals_settle(own, &rank->busy);
        const hy_total *rows = hy_totals_rows(own, &n);
        hy_totals_merge(sum, rows, n);
        hy_totals_destroy(own);
    }
    return HY_OK;
}

/* ---- behind what ---- */

enum { BEHIND_MAX = 64 };

typedef struct hider {
    const char *name;
    double seconds;
} hider;

static void add_hider(hider *hiders, int *n, const char *name, double seconds) {
    int i = 0;
    while (i < *n && strcmp(hiders[i].name, name) != 0) {
        i++;
    }
    if (i == *n && *n < BEHIND_MAX) {
        hiders[(*n)++] = (hider){name, 0.0};
    }
    if (i < *n) {
        hiders[i].seconds += seconds;
    }
}

static void add_hiders_of(const hy_busy *busy, const hy_span *s, hider *hiders, int *n) {
    for (int64_t i = hy_busy_at(busy, s->started); i < busy->n && busy->parts[i].begin < s->end; i++) {
        const hy_busy_part *p = &busy->parts[i];
        const double begin = p->begin > s->started ? p->begin : s->started, end = p->end < s->end ? p->end : s->end;
        add_hider(hiders, n, p->span->name, end - begin);
    }
}

/* The operation that most of the row's time in flight lies behind, with its share of what is hidden; "-": nothing. */
static void say_behind(const hy_run_trace *trace, const hy_total *row, char *text, size_t size) {
    hider hiders[BEHIND_MAX];
    int n = 0, most = 0;
    double all = 0.0;
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_rank_trace *file = &trace->rank[r].file;
        for (int64_t i = 0; i < file->n_spans; i++) {
            const hy_span *s = &file->spans[i];
            if (s->kind == HY_SPAN_EXCHANGE && s->exchange == row->exchange && s->place.block == row->block &&
                strcmp(s->name, row->name) == 0) {
                add_hiders_of(&trace->rank[r].busy, s, hiders, &n);
            }
        }
    }
    for (int i = 0; i < n; i++) {
        all += hiders[i].seconds;
        most = hiders[i].seconds > hiders[most].seconds ? i : most;
    }
    if (all > 0.0) {
        (void)snprintf(text, size, "%s %.0f%%", hiders[most].name, 100.0 * hiders[most].seconds / all);
    } else {
        (void)snprintf(text, size, "-");
    }
}

/* ---- rows ---- */

/* What the caller asked for, of what a rank sends. */
static double asked_of_sent(const hy_total *row) {
    const double p = row->size;
    if (row->size < 2 || row->exchange == HY_X_SEND || row->exchange == HY_X_RECV) {
        return 1.0;
    }
    return row->exchange == HY_X_ALL_REDUCE ? p / (2.0 * (p - 1.0)) : p / (p - 1.0);
}

static void put_exchange(hy_text_table *table, const hy_run_trace *trace, const hy_total *row, double per_step) {
    char layer[16], behind[80];
    const double ms = 1e3 * per_step, bus = row->total > 0.0 ? (double)row->bytes / row->total : 0.0;
    say_behind(trace, row, behind, sizeof behind);
    hy_text_table_cell(table, "%s", row->name);
    hy_text_table_cell(table, "%s", hy_exchange_kind_name((hy_exchange_kind)row->exchange));
    hy_text_table_cell(table, "%s", hy_trace_layer(row->block, layer));
    hy_text_table_cell(table, "%.1f", per_step * (double)row->count);
    hy_text_table_cell(table, "%s", hy_text_bytes(per_step * (double)row->bytes).s);
    hy_text_table_cell(table, "%s", bus > 0.0 ? hy_text_byte_rate(bus * asked_of_sent(row)).s : "-");
    hy_text_table_cell(table, "%s", bus > 0.0 ? hy_text_byte_rate(bus).s : "-");
    hy_text_table_cell(table, "%.3f", ms * row->total);
    hy_text_table_cell(table, "%.3f", ms * row->unsure);
    hy_text_table_cell(table, "%.3f", ms * row->hidden);
    hy_text_table_cell(table, "%.3f", ms * (row->total - row->hidden));
    hy_text_table_cell(table, "%.3f", ms * row->waited);
    hy_text_table_cell(table, row->total > 0.0 ? "%.3f" : "-", 1e3 * hy_total_quantile(row, 0.5));
    hy_text_table_cell(table, row->total > 0.0 ? "%.3f" : "-", 1e3 * hy_total_quantile(row, 0.99));
    hy_text_table_cell(table, "%s", behind);
}

static int by_exposed(const void *a, const void *b) {
    const hy_total *x = *(const hy_total *const *)a, *y = *(const hy_total *const *)b;
    const double left = x->total - x->hidden, right = y->total - y->hidden;
    return (left < right) - (left > right);
}

static hy_status print_rows(const hy_run_trace *trace, const hy_total **rows, int64_t n, int64_t shown, FILE *out) {
    const double per_step = hy_trace_per_step(trace);
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(15,
                                (const char *const[]){"exchange", "kind", "layer", "count", "bytes", "alg bw", "bus bw",
                                                      "ms in flight", "of these unsure", "hidden", "exposed", "waited",
                                                      "p50 ms", "p99 ms", "most behind"},
                                &table));
    for (int64_t i = 0; i < shown; i++) {
        put_exchange(table, trace, rows[i], per_step);
    }
    const hy_status status = hy_text_table_print(table, out);
    hy_text_table_destroy(table);
    if (shown < n) {
        fprintf(out, "and %lld more that are less exposed: --all\n", (long long)(n - shown));
    }
    return status;
}

hy_status hy_trace_print_exchanges(const hy_run_trace *trace, int64_t most, FILE *out) {
    hy_totals *sum = NULL;
    const hy_total **rows = NULL;
    int64_t n = 0, n_exchanges = 0;
    HY_TRY(hy_totals_create(&sum));
    hy_status status = all_totals(trace, sum);
    const hy_total *all = hy_totals_rows(sum, &n);
    if (status == HY_OK) {
        status = HY_NEW("rows of exchanges", n + 1, &rows);
    }
    for (int64_t i = 0; status == HY_OK && i < n; i++) {
        if (all[i].kind == HY_SPAN_EXCHANGE) {
            rows[n_exchanges++] = &all[i];
        }
    }
    if (status == HY_OK) {
        qsort(rows, (size_t)n_exchanges, sizeof(const hy_total *), by_exposed);
        status = print_rows(trace, rows, n_exchanges, most > 0 && most < n_exchanges ? most : n_exchanges, out);
    }
    hy_free(rows);
    hy_totals_destroy(sum);
    return status;
}
