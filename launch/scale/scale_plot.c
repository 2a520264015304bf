#include "launch/scale/scale_plot.h"

#include <stdlib.h>

#include "base/memory.h"
#include "launch/plot/panel.h"
#include "launch/scale/scale_rows.h"

enum { LEFT = 64, WIDTH = 412, COLUMN = 506, TOP = 40, HEIGHT = 230, ROW = 306, TICKS_MAX = HY_SCALE_POINTS };

static const struct {
    const char *title;
    double unit;
} panels[HY_SCALE_VALUES] = {{"tokens per second", 1.0},
                             {"efficiency, %", 0.01},
                             {"exposed exchange time, % of the ranks' time", 0.01},
                             {"memory of a rank, bytes", 1.0}};

typedef struct study {
    const hy_scale_lines *lines;
    FILE *out;
    hy_axis ranks;
    double ticks[TICKS_MAX];
    int n_ticks;
    double least_rate; /* tokens per second and rank that the fastest line has at its fewest ranks */
} study;

/* All numbers of ranks, ascending: a line's are so already. */
static void add_ticks(study *s, const hy_scale_line *line) {
    for (int i = 0; i < line->n; i++) {
        int at = 0;
        while (at < s->n_ticks && s->ticks[at] < line->ranks[i]) {
            at++;
        }
        if (s->n_ticks == TICKS_MAX || (at < s->n_ticks && s->ticks[at] <= line->ranks[i])) {
            continue;
        }
        for (int k = s->n_ticks++; k > at; k--) {
            s->ticks[k] = s->ticks[k - 1];
        }
        s->ticks[at] = line->ranks[i];
    }
}

static void settle_ranks(study *s) {
    s->ranks = hy_axis_empty();
    for (int l = 0; l < s->lines->n; l++) {
        const hy_scale_line *line = &s->lines->line[l];
        const double rate = line->value[HY_SCALE_RATE][0] / line->ranks[0];
        add_ticks(s, line);
        s->least_rate = rate > s->least_rate ? rate : s->least_rate;
        hy_axis_widen(&s->ranks, line->ranks[0]);
        hy_axis_widen(&s->ranks, line->ranks[line->n - 1]);
    }
    s->ranks = (hy_axis){s->ranks.low / 1.1, s->ranks.high * 1.1, true};
}

/* Dashed: as many tokens per second for each rank as at the fewest of the fastest line. */
static void put_ideal(const study *s, const hy_panel *panel, int which) {
    const double ends[2] = {s->ticks[0], s->ticks[s->n_ticks - 1]};
    const double rates[2] = {s->least_rate * ends[0], s->least_rate * ends[1]}, whole[2] = {100.0, 100.0};
    if (which == HY_SCALE_RATE || which == HY_SCALE_EFFICIENCY) {
        hy_panel_put_line(panel, "ideal", ends, which == HY_SCALE_RATE ? rates : whole, 2);
    }
}

static void put_panel(const study *s, double legend, int which) {
    hy_panel panel = {.out = s->out,
                      .left = LEFT + COLUMN * (which % 2),
                      .top = legend + TOP + ROW * (double)(which / 2),
                      .width = WIDTH,
                      .height = HEIGHT,
                      .x = s->ranks,
                      .y = hy_axis_empty(),
                      .title = panels[which].title,
                      .x_name = "ranks",
                      .x_ticks = s->ticks,
                      .n_x_ticks = s->n_ticks};
    double values[HY_SCALE_POINTS];
    for (int l = 0; l < s->lines->n; l++) {
        for (int i = 0; i < s->lines->line[l].n; i++) {
            hy_axis_widen(&panel.y, s->lines->line[l].value[which][i] / panels[which].unit);
        }
    }
    if (which == HY_SCALE_RATE) {
        hy_axis_widen(&panel.y, s->least_rate * s->ticks[s->n_ticks - 1]);
        panel.y = (hy_axis){panel.y.low / 1.2, panel.y.high * 1.2, panel.y.low > 0.0};
    } else {
        hy_axis_widen(&panel.y, which == HY_SCALE_EFFICIENCY ? 100.0 : 0.0);
        hy_axis_settle(&panel.y, true, false);
    }
    hy_panel_put_frame(&panel);
    put_ideal(s, &panel, which);
    for (int l = 0; l < s->lines->n; l++) {
        const hy_scale_line *line = &s->lines->line[l];
        char stroke[24], fill[16];
        (void)snprintf(stroke, sizeof stroke, "s%d d%d", l % HY_SVG_COLOURS, l / HY_SVG_COLOURS);
        (void)snprintf(fill, sizeof fill, "f%d", l % HY_SVG_COLOURS);
        for (int i = 0; i < line->n; i++) {
            values[i] = line->value[which][i] / panels[which].unit;
        }
        hy_panel_put_line(&panel, stroke, line->ranks, values, line->n);
        hy_panel_put_dots(&panel, fill, line->ranks, values, line->n);
    }
}

static void draw_study(const void *context, FILE *out, bool alone) {
    study s = {.lines = context, .out = out};
    const char *names[HY_SCALE_LINES];
    settle_ranks(&s);
    for (int l = 0; l < s.lines->n; l++) {
        names[l] = s.lines->line[l].name;
    }
    const double legend = 4.0 + hy_svg_legend_height(HY_SVG_WIDTH - LEFT, names, s.lines->n);
    hy_svg_open(out, legend + 2.0 * ROW + 16.0, "Tokens per second, efficiency, exposed time and memory by ranks",
                alone);
    hy_svg_legend(out, LEFT, 4.0, HY_SVG_WIDTH - LEFT, names, NULL, s.lines->n);
    for (int which = 0; which < HY_SCALE_VALUES; which++) {
        put_panel(&s, legend, which);
    }
    hy_svg_close(out);
}

hy_status hy_scale_plot(const char *csv, const char *svg) {
    hy_scale_lines *lines = NULL;
    HY_TRY(hy_scale_lines_read(csv, &lines));
    const hy_status status = hy_svg_write(svg, draw_study, lines);
    hy_free(lines);
    return status;
}
