/* The picture: colours, ranges, panels, and the names of the runs above them. */
#include "launch/report/report_plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "launch/report/report_picture.h"

enum { COLOURS = 8 };

/* Told apart by readers who do not see all colours alike (Okabe and Ito). */
static const char *const colours[COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                             "#e69f00", "#56b4e9", "#000000", "#999933"};

static const char *const titles[N_CURVES] = {[CURVE_LOSS] = "loss",
                                             [CURVE_LR] = "learning rate",
                                             [CURVE_NORM] = "gradient norm",
                                             [CURVE_RATE] = "tokens per second",
                                             [CURVE_EXPOSED] = "exposed exchange time, % of the step"};

/* ---- scales ---- */

static bool is_empty(const scale *s) {
    return s->low > s->high;
}

static axis_unit unit_of_axis(double high) {
    static const char *const names[] = {"", ", thousands", ", millions", ", billions", ", trillions"};
    axis_unit unit = {.size = 1.0};
    int k = 0;
    for (; k < 4 && high >= 1e4 * unit.size; k++) {
        unit.size *= 1e3;
    }
    snprintf(unit.name, sizeof unit.name, "%s", names[k]);
    if (high > 0.0 && high < 0.01) {
        const int exponent = (int)floor(log10(high));
        unit.size = pow(10.0, exponent);
        snprintf(unit.name, sizeof unit.name, ", units of 1e%d", exponent);
    }
    return unit;
}

/* Whether a step of a run belongs to what an axis must show: the first steps of long runs, far above the rest, would
 * leave little room for it. */
static bool counts(int64_t step, int64_t last, int64_t longest) {
    return step > longest / 20 || step > last / 2;
}

static int64_t last_step(const hy_metrics_history *h) {
    const int64_t step = h->n_steps > 0 ? h->steps[h->n_steps - 1].step : 0;
    return h->n_evals > 0 && h->evals[h->n_evals - 1].step > step ? h->evals[h->n_evals - 1].step : step;
}

/* A string of gnuplot. Between single quotes nothing is read as a command. */
static void put_quoted(FILE *out, const char *text) {
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputc('\'', out);
        }
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
    fputc('\'', out);
}

/* ---- panels ---- */

static const char *colour_of(int run) {
    return colours[run % COLOURS];
}

/* Title, range and unit of the next panel. */
static void begin_panel(const picture *p, const char *title, scale s, bool from_zero) {
    const bool empty = is_empty(&s);
    if (empty) {
        s = (scale){0.0, 1.0};
    }
    const axis_unit unit = unit_of_axis(s.high);
    const bool log_scale = !from_zero && s.low > 0.0 && s.high > 50.0 * s.low;
    const double margin = s.high > s.low ? 0.05 * (s.high - s.low) : 0.05 * fabs(s.high) + 1e-12;
    fprintf(p->out, "set title \"%s%s\" noenhanced\nunset logscale y\nu = %.17e\n", title, unit.name, unit.size);
    if (log_scale) {
        fprintf(p->out, "set logscale y\nset yrange [%.8g:%.8g]\n", s.low / 1.2 / unit.size, s.high * 1.2 / unit.size);
    } else {
        fprintf(p->out, "set yrange [%.8g:%.8g]\n", (from_zero ? 0.0 : s.low - margin) / unit.size,
                (s.high + margin) / unit.size);
    }
    if (empty) {
        fprintf(p->out, "set label 1 \"nothing recorded\" at graph 0.5,0.5 center tc rgb \"#808080\"\n");
    }
}

/* Runs of fewer points have them marked: a line of one would not be seen. */
static void put_curve(const picture *p, int run, curve c) {
    const int column = 2 + 3 * (int)c;
    const bool few = p->runs[run].history.n_steps <= 40;
    fprintf(p->out,
            "$steps%d using 1:($%d/u):($%d/u) with filledcurves lc rgb \"%s\" fs transparent solid 0.15 noborder "
            "notitle, ",
            run, column + 1, column + 2, colour_of(run));
    fprintf(p->out, "$steps%d using 1:($%d/u) with %s lc rgb \"%s\" notitle, ", run, column,
            few ? "linespoints pt 7 ps 0.3" : "lines", colour_of(run));
}

static void put_curve_panel(const picture *p, curve c) {
    scale s = {INFINITY, -INFINITY};
    for (int run = 0; run < p->n_runs; run++) {
        const hy_metrics_history *h = &p->runs[run].history;
        for (int64_t i = 0; i < h->n_steps; i++) {
            if (counts(h->steps[i].step, last_step(h), p->longest)) {
                hy_scale_widen(&s, hy_report_value(&h->steps[i], c));
            }
        }
    }
    begin_panel(p, titles[c], s, c == CURVE_LR || c == CURVE_RATE || c == CURVE_EXPOSED);
    fprintf(p->out, "set key off\nplot ");
    for (int run = 0; run < p->n_runs; run++) {
        put_curve(p, run, c);
    }
    fprintf(p->out, "NaN notitle\nunset label 1\n");
}

/* The place of a store's name among those of all runs, which its dashes and marks follow. */
static int shared_store(const picture *p, int run, int store, char names[HY_HISTORY_STORES][64], int *n_names) {
    const char *name = p->runs[run].history.stores[store];
    for (int i = 0; i < *n_names; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    if (*n_names < HY_HISTORY_STORES) {
        memcpy(names[(*n_names)++], name, sizeof names[0]);
    }
    return *n_names - 1;
}

static void put_validation_panel(const picture *p) {
    char names[HY_HISTORY_STORES][64];
    int n_names = 0;
    scale s = {INFINITY, -INFINITY};
    for (int run = 0; run < p->n_runs; run++) {
        const hy_metrics_history *h = &p->runs[run].history;
        for (int64_t i = 0; i < h->n_evals; i++) {
            if (counts(h->evals[i].step, last_step(h), p->longest)) {
                hy_scale_widen(&s, h->evals[i].loss);
            }
        }
    }
    begin_panel(p, "validation loss", s, false);
    fprintf(p->out, "set key inside top right vertical\nplot ");
    for (int run = 0; run < p->n_runs; run++) {
        for (int store = 0; store < p->runs[run].history.n_stores; store++) {
            const int style = shared_store(p, run, store, names, &n_names);
            fprintf(p->out, "$evals%d_%d using 1:($2/u) with linespoints lc rgb \"%s\" dt %d pt %d ps 0.4 notitle, ",
                    run, store, colour_of(run), 1 + style, 7 + style);
        }
    }
    for (int i = 0; i < n_names; i++) {
        if (n_names > 1 || names[i][0] != '\0') {
            fprintf(p->out, "NaN with linespoints lc rgb \"#606060\" dt %d pt %d ps 0.4 title ", 1 + i, 7 + i);
            put_quoted(p->out, names[i][0] != '\0' ? names[i] : "(no name)");
            fprintf(p->out, " noenhanced, ");
        }
    }
    fprintf(p->out, "NaN notitle\nunset label 1\n");
}

static void choose_x(picture *p, scale *x) {
    *x = (scale){INFINITY, -INFINITY};
    p->x_unit = (axis_unit){.size = 1.0};
    for (int run = 0; run < p->n_runs; run++) {
        const hy_metrics_history *h = &p->runs[run].history;
        double hours = 0.0;
        for (int64_t i = 0; i < h->n_steps; i++) {
            hours += hy_report_hours(&h->steps[i]);
            hy_scale_widen(x, hy_report_x(p, &h->steps[i], hours));
        }
        p->longest = last_step(h) > p->longest ? last_step(h) : p->longest;
    }
    if (is_empty(x)) {
        *x = (scale){0.0, 1.0};
    }
    p->x_unit = unit_of_axis(x->high);
    x->low /= p->x_unit.size;
    x->high /= p->x_unit.size;
    if (x->high <= x->low) {
        x->low -= 0.5;
        x->high += 0.5;
    }
}

/* ---- the runs' names, above the panels ---- */

enum { WIDTH = 1000, ROW = 20, KEY_COLUMNS = 4, LETTER = 8, SWATCH = 40 }; /* pixels */

static int key_columns(const picture *p) {
    size_t longest = 1;
    for (int run = 0; run < p->n_runs; run++) {
        const size_t n = strlen(p->runs[run].label);
        longest = n > longest ? n : longest;
    }
    const int fit = (WIDTH - 60) / ((int)longest * LETTER + SWATCH);
    return fit < 1 ? 1 : fit > KEY_COLUMNS ? KEY_COLUMNS : fit;
}

static void put_legend(const picture *p, int columns, int height) {
    for (int run = 0; run < p->n_runs; run++) {
        const double x = 0.07 + 0.91 * (run % columns) / columns, y = 1.0 - (14.0 + ROW * (run / columns)) / height;
        fprintf(p->out, "set arrow from screen %.4f,%.4f to screen %.4f,%.4f nohead lw 3 lc rgb \"%s\"\nset label ", x,
                y, x + 0.026, y, colour_of(run));
        put_quoted(p->out, p->runs[run].label);
        fprintf(p->out, " at screen %.4f,%.4f noenhanced\n", x + 0.032, y);
    }
}

static void put_picture(picture *p, const char *path) {
    static const char *const axes[] = {"step", "tokens", "hours of training"};
    const int columns = key_columns(p), key_height = ROW * ((p->n_runs + columns - 1) / columns),
              height = 900 + key_height;
    scale x;
    choose_x(p, &x);
    fprintf(p->out, "set terminal svg size %d,%d font \"sans,12\" background \"#ffffff\"\nset output ", WIDTH, height);
    put_quoted(p->out, path);
    fprintf(p->out, "\nset datafile missing \"NaN\"\n");
    for (int run = 0; run < p->n_runs; run++) {
        hy_report_put_steps(p, run);
        for (int store = 0; store < p->runs[run].history.n_stores; store++) {
            hy_report_put_evals(p, run, store);
        }
    }
    fprintf(p->out,
            "set multiplot layout 3,2 margins 0.07,0.98,%.4f,%.4f spacing 0.08,0.075\n"
            "set grid lc rgb \"#e0e0e0\"\nset border 3 lc rgb \"#606060\"\nset tics nomirror\nset format \"%%g\"\n"
            "set title offset 0,-0.6\nset xrange [%.10g:%.10g]\n",
            54.0 / height, 1.0 - (36.0 + key_height) / height, x.low, x.high);
    fprintf(p->out, "set label 1 \"\"\n"); /* the number that an empty panel's word takes */
    put_legend(p, columns, height);
    put_curve_panel(p, CURVE_LOSS);
    fprintf(p->out, "unset label\nunset arrow\n");
    put_validation_panel(p);
    put_curve_panel(p, CURVE_LR);
    put_curve_panel(p, CURVE_NORM);
    fprintf(p->out, "set xlabel \"%s%s\" offset 0,0.4\n", axes[p->axis], p->x_unit.name);
    put_curve_panel(p, CURVE_RATE);
    put_curve_panel(p, CURVE_EXPOSED);
    fprintf(p->out, "unset multiplot\n");
}

hy_status hy_report_plot(const hy_report_run *runs, int n_runs, hy_report_axis axis, const char *path) {
    char draft[HY_PATH_MAX];
    if (snprintf(draft, sizeof draft, "%s.tmp", path) >= (int)sizeof draft) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", path);
    }
    if (system("command -v gnuplot >/dev/null 2>&1") != 0) {
        return hy_fail(HY_ERR_ENV, "gnuplot, which draws the picture, is not there (Debian, Ubuntu: apt-get install "
                                   "gnuplot-nox)");
    }
    picture p = {.runs = runs, .n_runs = n_runs, .axis = axis, .out = popen("gnuplot -d", "we")};
    if (p.out == NULL) {
        return hy_fail(HY_ERR_ENV, "gnuplot cannot be started: %s", strerror(errno));
    }
    put_picture(&p, draft);
    if (pclose(p.out) != 0 || !hy_file_exists(draft)) {
        (void)unlink(draft);
        return hy_fail(HY_ERR_FAILED, "%s: gnuplot could not draw it", path);
    }
    return hy_file_rename(draft, path, HY_ERR_FAILED);
}
