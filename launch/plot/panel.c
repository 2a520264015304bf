#include "launch/plot/panel.h"

#include <math.h>

static double x_of(const hy_panel *p, double value) {
    return p->left + p->width * hy_axis_place(&p->x, value);
}

static double y_of(const hy_panel *p, double value) {
    return p->top + p->height * (1.0 - hy_axis_place(&p->y, value));
}

static bool can_be_placed(const hy_axis *axis, double value) {
    return isfinite(value) && (!axis->log || value > 0.0);
}

/* ---- frame ---- */

static void put_x_ticks(const hy_panel *p) {
    enum { APART = 44 }; /* pixels from one word to the next, at least */
    double own[HY_TICKS_MAX], last = -INFINITY;
    const double *ticks = p->x_ticks != NULL ? p->x_ticks : own;
    const int n = p->x_ticks != NULL ? p->n_x_ticks : hy_axis_ticks(&p->x, (int)(p->width / 90.0), own);
    for (int i = 0; i < n; i++) {
        const double x = x_of(p, ticks[i]);
        hy_svg_line(p->out, "axis", x, p->top + p->height, x, p->top + p->height + 4.0);
        if (x - last >= APART) {
            hy_svg_text(p->out, "small mid", x, p->top + p->height + 16.0, "%s", hy_axis_text(ticks[i]).s);
            last = x;
        }
    }
}

static void put_y_ticks(const hy_panel *p) {
    double ticks[HY_TICKS_MAX];
    const int n = hy_axis_ticks(&p->y, (int)(p->height / 32.0), ticks);
    for (int i = 0; i < n; i++) {
        const double y = y_of(p, ticks[i]);
        hy_svg_line(p->out, "grid", p->left, y, p->left + p->width, y);
        hy_svg_text(p->out, "small end", p->left - 6.0, y + 4.0, "%s", hy_axis_text(ticks[i]).s);
    }
}

void hy_panel_put_frame(const hy_panel *p) {
    const double bottom = p->top + p->height;
    hy_svg_text(p->out, "head", p->left, p->top - 10.0, "%s", p->title);
    put_y_ticks(p);
    put_x_ticks(p);
    hy_svg_line(p->out, "axis", p->left, bottom, p->left + p->width, bottom);
    hy_svg_line(p->out, "axis", p->left, p->top, p->left, bottom);
    if (p->x_name != NULL) {
        hy_svg_text(p->out, "small mid dim", p->left + p->width / 2.0, bottom + 33.0, "%s", p->x_name);
    }
}

void hy_panel_put_word(const hy_panel *p, const char *word) {
    hy_svg_text(p->out, "mid dim", p->left + p->width / 2.0, p->top + p->height / 2.0, "%s", word);
}

/* ---- what is in it ---- */

static void clip(const hy_panel *p) {
    hy_svg_clip_open(p->out, p->left - 3.0, p->top - 3.0, p->width + 6.0, p->height + 6.0);
}

void hy_panel_put_line(const hy_panel *p, const char *classes, const double *x, const double *y, int64_t n) {
    bool move = true;
    clip(p);
    hy_svg_path_open(p->out, classes);
    for (int64_t i = 0; i < n; i++) {
        const bool there = can_be_placed(&p->x, x[i]) && can_be_placed(&p->y, y[i]);
        if (there) {
            hy_svg_path_point(p->out, move, x_of(p, x[i]), y_of(p, y[i]));
        }
        move = !there;
    }
    hy_svg_path_close(p->out);
    hy_svg_clip_close(p->out);
}

void hy_panel_put_dots(const hy_panel *p, const char *classes, const double *x, const double *y, int64_t n) {
    clip(p);
    for (int64_t i = 0; i < n; i++) {
        if (can_be_placed(&p->x, x[i]) && can_be_placed(&p->y, y[i])) {
            hy_svg_dot(p->out, classes, x_of(p, x[i]), y_of(p, y[i]), 2.5);
        }
    }
    hy_svg_clip_close(p->out);
}

/* There along `high` and back along `low`; points without a value are passed over. */
void hy_panel_put_band(const hy_panel *p, const char *classes, const double *x, const double *low, const double *high,
                       int64_t n) {
    bool move = true;
    clip(p);
    hy_svg_path_open(p->out, classes);
    for (int64_t i = 0; i < 2 * n; i++) {
        const int64_t at = i < n ? i : 2 * n - 1 - i;
        if (can_be_placed(&p->x, x[at]) && can_be_placed(&p->y, low[at]) && can_be_placed(&p->y, high[at])) {
            hy_svg_path_point(p->out, move, x_of(p, x[at]), y_of(p, i < n ? high[at] : low[at]));
            move = false;
        }
    }
    hy_svg_path_close(p->out);
    hy_svg_clip_close(p->out);
}
