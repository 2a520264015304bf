/* Bars: what exchanges take, by layer, in one run or in two. */
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "launch/plot/bars.h"
#include "launch/trace/trace_pictures.h"
#include "launch/trace/trace_tables.h"

static const char *const flight_names[] = {"hidden behind computing", "exposed"};
static const char *const flight_classes[] = {"f2", "f1"};

enum { SHARES = 6 };
static const char *const share_names[SHARES] = {
    "computing", "waiting for ranks", "waiting for transfers", "moving exchanges", "host", "nothing recorded"};
static const char *const share_classes[SHARES] = {"f0", "f4", "f1", "f3", "f7", "lane"};

static void name_layer(int block, char *text, size_t size) {
    if (block > 0) {
        (void)snprintf(text, size, "layer %d", block - 1);
    } else {
        (void)snprintf(text, size, "%s", block == 0 ? "embedding and head" : "no layer");
    }
}

static hy_bars flight_bars(const hy_bar *bars, int n, bool whole) {
    return (hy_bars){.bars = bars,
                     .n = n,
                     .n_parts = 2,
                     .title = whole ? "exchanges in flight, by layer" : "exchanges in flight, by layer (at most)",
                     .unit = "ms of a step, mean of all ranks",
                     .names = flight_names,
                     .classes = flight_classes};
}

void hy_trace_draw_layers(const void *context, FILE *out, bool alone) {
    const hy_trace_analysis *a = context;
    hy_bar *bars = NULL;
    if (HY_NEW("bars", a->n_layers + 1, &bars) != HY_OK) {
        return;
    }
    for (int i = 0; i < a->n_layers; i++) {
        name_layer(a->layers[i].block, bars[i].label, sizeof bars[i].label);
        bars[i].part[0] = 1e3 * a->layers[i].hidden;
        bars[i].part[1] = 1e3 * a->layers[i].exposed;
    }
    const hy_bars all = flight_bars(bars, a->n_layers, hy_trace_is_whole(&a->trace));
    hy_svg_open(out, hy_bars_height(&all), "Exchanges in flight by layer: hidden and exposed", alone);
    hy_bars_put(out, &all, 0.0);
    hy_svg_close(out);
    hy_free(bars);
}

/* ---- two runs ---- */

static hy_layer_flight flight_of(const hy_trace_analysis *a, int block) {
    for (int i = 0; i < a->n_layers; i++) {
        if (a->layers[i].block == block) {
            return a->layers[i];
        }
    }
    return (hy_layer_flight){.block = block};
}

static bool both_whole(const hy_trace_pair *pair) {
    return hy_trace_is_whole(&pair->before->trace) && hy_trace_is_whole(&pair->after->trace);
}

static hy_bar share_bar(const hy_trace_analysis *a, const char *label) {
    const hy_step_account m = hy_trace_mean_step(a);
    hy_bar bar = {.part = {1e3 * m.compute, 1e3 * m.late, 1e3 * (m.waiting - m.late), 1e3 * m.moving, 1e3 * m.host,
                           1e3 * m.uncovered}};
    (void)snprintf(bar.label, sizeof bar.label, "%s", label);
    return bar;
}

/* Two bars for each layer that one of the runs has. */
static int pair_bars(const hy_trace_pair *pair, hy_bar *bars) {
    int n = 0;
    for (int block = -1; block < HY_TOTALS_MAX; block++) {
        const hy_layer_flight f[2] = {flight_of(pair->before, block), flight_of(pair->after, block)};
        if (f[0].hidden + f[0].exposed + f[1].hidden + f[1].exposed <= 0.0) {
            continue;
        }
        for (int i = 0; i < 2 && n < 2 * HY_TOTALS_MAX; i++, n++) {
            char layer[32];
            name_layer(block, layer, sizeof layer);
            (void)snprintf(bars[n].label, sizeof bars[n].label, "%s", i == 0 ? "before" : "after");
            if (i == 0) {
                (void)snprintf(bars[n].label, sizeof bars[n].label, "%s, before", block == 0 ? "ends" : layer);
            }
            bars[n].part[0] = 1e3 * f[i].hidden;
            bars[n].part[1] = 1e3 * f[i].exposed;
            bars[n].apart = i == 0;
        }
    }
    return n;
}

void hy_trace_draw_pair(const void *context, FILE *out, bool alone) {
    const hy_trace_pair *pair = context;
    hy_bar *bars = NULL;
    if (HY_NEW("bars", 2 * (int64_t)HY_TOTALS_MAX, &bars) != HY_OK) {
        return;
    }
    const bool whole = both_whole(pair);
    hy_bar steps[2] = {{.label = "before"}, {.label = "after"}};
    if (whole) {
        steps[0] = share_bar(pair->before, "before");
        steps[1] = share_bar(pair->after, "after");
    }
    const hy_bars shares = {.bars = steps,
                            .n = 2,
                            .n_parts = SHARES,
                            .title = "a step of the mean rank",
                            .unit = "ms",
                            .names = share_names,
                            .classes = share_classes};
    const hy_bars flights = flight_bars(bars, pair_bars(pair, bars), whole);
    const double first = 26.0, second = first + (whole ? hy_bars_height(&shares) : 0.0);
    hy_svg_open(out, second + hy_bars_height(&flights), "Two runs: before and after", alone);
    hy_svg_text(out, "dim", 10.0, 18.0, "before: %.60s, after: %.60s", pair->before->run, pair->after->run);
    if (whole) {
        hy_bars_put(out, &shares, first);
    }
    hy_bars_put(out, &flights, second);
    hy_svg_close(out);
    hy_free(bars);
}

static void put_change(hy_text_table *table, const char *name, double before, double after) {
    hy_text_table_cell(table, "%s", name);
    hy_text_table_cell(table, "%.3f", 1e3 * before);
    hy_text_table_cell(table, "%.3f", 1e3 * after);
    hy_text_table_cell(table, "%+.3f", 1e3 * (after - before));
    if (before > 0.0) {
        hy_text_table_cell(table, "%+.1f%%", 100.0 * (after / before - 1.0));
    } else {
        hy_text_table_cell(table, "-");
    }
}

static hy_layer_flight all_flights(const hy_trace_analysis *a) {
    hy_layer_flight sum = {.block = -1};
    for (int i = 0; i < a->n_layers; i++) {
        sum.hidden += a->layers[i].hidden;
        sum.exposed += a->layers[i].exposed;
    }
    return sum;
}

hy_status hy_trace_print_pair(const hy_trace_pair *pair) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(
        5, (const char *const[]){"ms of a step, mean rank", "before", "after", "change", "relative"}, &table));
    if (both_whole(pair)) {
        const hy_step_account b = hy_trace_mean_step(pair->before), a = hy_trace_mean_step(pair->after);
        put_change(table, "step", b.step, a.step);
        put_change(table, "computing", b.compute, a.compute);
        put_change(table, "waiting for ranks", b.late, a.late);
        put_change(table, "waiting for transfers", b.waiting - b.late, a.waiting - a.late);
        put_change(table, "moving exchanges", b.moving, a.moving);
        put_change(table, "host", b.host, a.host);
        put_change(table, "in flight", b.in_flight, a.in_flight);
        put_change(table, "  hidden", b.hidden, a.hidden);
        put_change(table, "  exposed", b.in_flight - b.hidden, a.in_flight - a.hidden);
    } else {
        const hy_layer_flight b = all_flights(pair->before), a = all_flights(pair->after);
        put_change(table, "in flight, by layer: hidden", b.hidden, a.hidden);
        put_change(table, "in flight, by layer: exposed", b.exposed, a.exposed);
    }
    printf("\nbefore %s, after %s\n\n", pair->before->run, pair->after->run);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}
