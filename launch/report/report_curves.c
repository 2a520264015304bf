#include "launch/report/report_curves.h"

#include <math.h>
#include <string.h>

#include "launch/plot/panel.h"

enum { LEFT = 64, WIDTH = 412, COLUMN = 506, TOP = 40, HEIGHT = 190, ROW = 262, ROWS = 3, FEW = 40 };

static const char *const titles[HY_CURVES] = {[HY_CURVE_LOSS] = "loss",
                                              [HY_CURVE_LR] = "learning rate",
                                              [HY_CURVE_NORM] = "gradient norm",
                                              [HY_CURVE_RATE] = "tokens per second",
                                              [HY_CURVE_EXPOSED] = "exposed exchange time, % of the step"};

/* ---- panels ---- */

/* Whether a step of a run belongs to what an axis must show: the first steps of long runs, far above the rest, would
 * leave little room for it. */
static bool counts(int64_t step, int64_t last, int64_t longest) {
    return step > longest / 20 || step > last / 2;
}

/* Panel `place` of six, from left to right; the legend takes `legend` pixels above them. */
static hy_panel panel_at(const hy_report_curves *c, FILE *out, double legend, int place, const char *title) {
    static const char *const axes[] = {"step", "tokens", "hours of training"};
    return (hy_panel){.out = out,
                      .left = LEFT + COLUMN * (place % 2),
                      .top = legend + TOP + ROW * (double)(place / 2),
                      .width = WIDTH,
                      .height = HEIGHT,
                      .x = c->x,
                      .y = hy_axis_empty(),
                      .title = title,
                      .x_name = place / 2 == ROWS - 1 ? axes[c->axis] : NULL};
}

static void begin_panel(hy_panel *panel, bool from_zero) {
    const bool empty = hy_axis_is_empty(&panel->y);
    hy_axis_settle(&panel->y, from_zero, true);
    hy_panel_put_frame(panel);
    if (empty) {
        hy_panel_put_word(panel, "nothing recorded");
    }
}

/* Runs of few points have them marked: a line of one would not be seen. */
static void put_curve(const hy_report_curves *c, hy_panel panel, hy_curve curve) {
    for (int run = 0; run < c->n; run++) {
        const hy_metrics_history *h = &c->runs[run].history;
        for (int64_t i = 0; i < h->n_steps; i++) {
            if (counts(h->steps[i].step, hy_report_last_step(h), c->longest)) {
                hy_axis_widen(&panel.y, hy_report_value(&h->steps[i], curve));
            }
        }
    }
    begin_panel(&panel, curve == HY_CURVE_LR || curve == HY_CURVE_RATE || curve == HY_CURVE_EXPOSED);
    for (int run = 0; run < c->n; run++) {
        const hy_report_points *p = &c->points[run];
        const int colour = run % HY_SVG_COLOURS;
        char line[16], fill[24];
        (void)snprintf(line, sizeof line, "s%d", colour);
        (void)snprintf(fill, sizeof fill, "f%d pale", colour);
        if (c->runs[run].history.n_steps > HY_REPORT_POINTS_MAX) {
            hy_panel_put_band(&panel, fill, p->x, p->low[curve], p->high[curve], p->n);
        }
        hy_panel_put_line(&panel, line, p->x, p->mean[curve], p->n);
        if (p->n <= FEW) {
            fill[2] = '\0';
            hy_panel_put_dots(&panel, fill, p->x, p->mean[curve], p->n);
        }
    }
}

/* ---- validation: a colour per run, dashes per store ---- */

enum { DASHES = 4 };

typedef struct store_names {
    const char *name[HY_HISTORY_STORES];
    int n;
} store_names;

/* The place of a store's name among those of all runs, which its dashes follow. */
static int shared_store(store_names *names, const char *name) {
    for (int i = 0; i < names->n; i++) {
        if (strcmp(names->name[i], name) == 0) {
            return i;
        }
    }
    if (names->n < HY_HISTORY_STORES) {
        names->name[names->n++] = name;
    }
    return names->n - 1;
}

static void put_store(const hy_report_curves *c, const hy_panel *panel, int run, int store, int style) {
    const hy_metrics_history *h = &c->runs[run].history;
    const hy_report_points *p = &c->points[run];
    const int colour = run % HY_SVG_COLOURS;
    double x[HY_REPORT_POINTS_MAX], loss[HY_REPORT_POINTS_MAX];
    char line[24], fill[16];
    int64_t n = 0, of_store = 0, seen = 0;
    for (int64_t e = 0; e < h->n_evals; e++) {
        of_store += h->evals[e].store == store;
    }
    const int64_t every = of_store / (HY_REPORT_POINTS_MAX - 1) + 1;
    for (int64_t e = 0; e < h->n_evals; e++) {
        if (h->evals[e].store == store && (seen++ % every == 0 || seen == of_store)) {
            x[n] = p->eval_x[e];
            loss[n++] = p->eval_loss[e];
        }
    }
    (void)snprintf(line, sizeof line, "s%d d%d", colour, style % DASHES);
    (void)snprintf(fill, sizeof fill, "f%d", colour);
    hy_panel_put_line(panel, line, x, loss, n);
    if (n <= FEW) {
        hy_panel_put_dots(panel, fill, x, loss, n);
    }
}

static void put_store_names(const hy_panel *panel, const store_names *names) {
    for (int i = 0; i < names->n; i++) {
        char dashes[16];
        const double y = panel->top + 14.0 + 16.0 * i, right = panel->left + panel->width;
        (void)snprintf(dashes, sizeof dashes, "axis d%d", i % DASHES);
        if (names->n > 1 || names->name[i][0] != '\0') {
            hy_svg_line(panel->out, dashes, right - 34.0, y - 4.0, right - 4.0, y - 4.0);
            hy_svg_text(panel->out, "small end", right - 40.0, y, "%s",
                        names->name[i][0] != '\0' ? names->name[i] : "(no name)");
        }
    }
}

static void put_validation(const hy_report_curves *c, hy_panel panel) {
    store_names names = {.n = 0};
    for (int run = 0; run < c->n; run++) {
        const hy_metrics_history *h = &c->runs[run].history;
        for (int64_t i = 0; i < h->n_evals; i++) {
            if (counts(h->evals[i].step, hy_report_last_step(h), c->longest)) {
                hy_axis_widen(&panel.y, h->evals[i].loss);
            }
        }
    }
    begin_panel(&panel, false);
    for (int run = 0; run < c->n; run++) {
        for (int store = 0; store < c->runs[run].history.n_stores; store++) {
            put_store(c, &panel, run, store, shared_store(&names, c->runs[run].history.stores[store]));
        }
    }
    put_store_names(&panel, &names);
}

/* ---- all of it ---- */

enum { NAMES_MAX = 64 };

void hy_report_draw_curves(const void *context, FILE *out, bool alone) {
    const hy_report_curves *c = context;
    const char *names[NAMES_MAX];
    const int n = c->n < NAMES_MAX ? c->n : NAMES_MAX;
    for (int run = 0; run < n; run++) {
        names[run] = c->runs[run].label;
    }
    const double legend = 4.0 + hy_svg_legend_height(HY_SVG_WIDTH - LEFT, names, n);
    hy_svg_open(out, legend + ROW * ROWS + 16.0,
                "Loss, validation, learning rate, gradient norm, tokens per second, exposed", alone);
    hy_svg_legend(out, LEFT, 4.0, HY_SVG_WIDTH - LEFT, names, NULL, n);
    put_curve(c, panel_at(c, out, legend, 0, titles[HY_CURVE_LOSS]), HY_CURVE_LOSS);
    put_validation(c, panel_at(c, out, legend, 1, "validation loss"));
    for (int curve = HY_CURVE_LR; curve < HY_CURVES; curve++) {
        put_curve(c, panel_at(c, out, legend, curve + 1, titles[curve]), (hy_curve)curve);
    }
    hy_svg_close(out);
}
