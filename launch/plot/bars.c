#include "launch/plot/bars.h"

#include "launch/plot/plot_axis.h"

enum { LEFT = 150, RIGHT = 80, ROW = 20, BAR = 14, GAP = 8, HEAD = 34, FOOT = 44 };

/* Title and legend. */
static double head_height(const hy_bars *bars) {
    return HEAD + hy_svg_legend_height(HY_SVG_WIDTH - LEFT, bars->names, bars->n_parts);
}

double hy_bars_height(const hy_bars *bars) {
    int gaps = 0;
    for (int i = 0; i < bars->n; i++) {
        gaps += bars->bars[i].apart;
    }
    return head_height(bars) + ROW * (double)bars->n + GAP * (double)gaps + FOOT;
}

static double bar_sum(const hy_bars *bars, const hy_bar *bar) {
    double sum = 0.0;
    for (int i = 0; i < bars->n_parts; i++) {
        sum += bar->part[i];
    }
    return sum;
}

static void put_bar(FILE *out, const hy_bars *bars, const hy_bar *bar, double y, double pixels) {
    double x = LEFT;
    hy_svg_text(out, "end", LEFT - 8.0, y + 11.0, "%s", bar->label);
    for (int i = 0; i < bars->n_parts; i++) {
        char tip[160];
        const double width = bar->part[i] * pixels;
        (void)snprintf(tip, sizeof tip, "%s: %s %.4g %s", bar->label, bars->names[i], bar->part[i], bars->unit);
        if (width > 0.0) {
            hy_svg_rect(out, bars->classes[i], x, y, width, BAR, tip);
        }
        x += width;
    }
    hy_svg_text(out, "small dim", x + 6.0, y + 11.0, "%.4g", bar_sum(bars, bar));
}

void hy_bars_put(FILE *out, const hy_bars *bars, double y) {
    const double width = HY_SVG_WIDTH - LEFT - RIGHT, bottom = y + hy_bars_height(bars) - FOOT,
                 top = y + head_height(bars);
    double ticks[HY_TICKS_MAX], at = top;
    hy_axis axis = {0.0, 0.0, false};
    for (int i = 0; i < bars->n; i++) {
        hy_axis_widen(&axis, bar_sum(bars, &bars->bars[i]));
    }
    axis.high = axis.high > 0.0 ? axis.high : 1.0;
    hy_svg_text(out, "head", LEFT, y + 16.0, "%s", bars->title);
    hy_svg_legend(out, LEFT, y + 24.0, HY_SVG_WIDTH - LEFT, bars->names, bars->classes, bars->n_parts);
    const int n = hy_axis_ticks(&axis, 8, ticks);
    for (int i = 0; i < n; i++) {
        const double x = LEFT + width * hy_axis_place(&axis, ticks[i]);
        hy_svg_line(out, "grid", x, top - 4.0, x, bottom);
        hy_svg_text(out, "small mid", x, bottom + 15.0, "%s", hy_axis_text(ticks[i]).s);
    }
    hy_svg_text(out, "small mid dim", LEFT + width / 2.0, bottom + 32.0, "%s", bars->unit);
    for (int i = 0; i < bars->n; i++) {
        at += bars->bars[i].apart ? GAP : 0.0;
        put_bar(out, bars, &bars->bars[i], at, width / axis.high);
        at += ROW;
    }
    hy_svg_line(out, "axis", LEFT, top - 4.0, LEFT, bottom);
}
