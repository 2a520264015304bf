/* launch/plot: ticks are round and inside, text is escaped, a strip shows as much of a kind as there is of it, whatever its pieces. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launch/plot/plot_axis.h"
#include "launch/plot/strip.h"

static double uniform(double low, double high) {
    return low + (high - low) * (double)rand() / RAND_MAX;
}

/* What `draw` wrote; freed with free. */
static char *text_of(void (*draw)(void *context, FILE *out), void *context) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    draw(context, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten. */
static bool is_round(double number) {
    const double lead = number / pow(10.0, floor(log10(number) + 1e-9));
    return fabs(lead - 1.0) < 1e-6 || fabs(lead - 2.0) < 1e-6 || fabs(lead - 5.0) < 1e-6;
}

static void check_ticks(const hy_axis *axis, int wanted) {
    double ticks[HY_TICKS_MAX];
    const int n = hy_axis_ticks(axis, wanted, ticks);
    assert_in_range(n, 1, HY_TICKS_MAX);
    const double slack = 1e-6 * (axis->high - axis->low);
    for (int i = 0; i < n; i++) {
        assert_true(ticks[i] >= axis->low - slack && ticks[i] <= axis->high + slack);
        assert_true(i == 0 || ticks[i] > ticks[i - 1]);
        assert_true(is_round(axis->log ? ticks[i] : i > 0 ? ticks[i] - ticks[i - 1] : 1.0));
        const double steps = axis->log || n < 2 ? 0.0 : ticks[i] / (ticks[1] - ticks[0]);
        assert_true(fabs(steps - rint(steps)) < 1e-6 * (1.0 + fabs(steps)));
    }
    assert_true(axis->log || n >= wanted / 3);
}

static void ticks_are_round_and_inside(void **unused) {
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        hy_axis axis = hy_axis_empty();
        const double middle = pow(10.0, uniform(-9, 12));
        hy_axis_widen(&axis, NAN);
        for (int k = 0; k < 3; k++) {
            hy_axis_widen(&axis, middle * pow(10.0, uniform(-4, 4) * (i % 3)));
        }
        const bool log = i % 2 == 0;
        hy_axis_settle(&axis, !log && i % 5 == 0, log);
        check_ticks(&axis, 2 + i % 8);
    }
    hy_axis empty = hy_axis_empty();
    assert_true(hy_axis_is_empty(&empty));
    hy_axis_settle(&empty, false, true);
    check_ticks(&empty, 5);
}

static void places_are_even(void **unused) {
    (void)unused;
    const hy_axis linear = {2.0, 10.0, false}, log = {0.1, 1000.0, true};
    assert_true(fabs(hy_axis_place(&linear, 4.0) - 0.25) < 1e-12);
    assert_true(fabs(hy_axis_place(&log, 1.0) - 0.25) < 1e-12);
    assert_true(fabs(hy_axis_place(&log, 1000.0) - 1.0) < 1e-12);
}

static void ticks_are_called_shortly(void **unused) {
    (void)unused;
    assert_string_equal(hy_axis_text(0.0).s, "0");
    assert_string_equal(hy_axis_text(250.0).s, "250");
    assert_string_equal(hy_axis_text(1000.0).s, "1k");
    assert_string_equal(hy_axis_text(-1500.0).s, "-1.5k");
    assert_string_equal(hy_axis_text(2e6).s, "2M");
    assert_string_equal(hy_axis_text(0.0003).s, "0.0003");
}

/* ---- text ---- */

static void put_marks(void *context, FILE *out) {
    hy_svg_put_escaped(out, context);
}

static void text_is_escaped(void **unused) {
    (void)unused;
    char text[] = "<a b=\"c\"> & \xc3\xa9 \x01 \xff";
    char *written = text_of(put_marks, text);
    assert_string_equal(written, "&lt;a b=&quot;c&quot;&gt; &amp; \xc3\xa9 \xef\xbf\xbd \xef\xbf\xbd");
    free(written);
}

static void legends_break_their_rows(void **unused) {
    (void)unused;
    const char *names[] = {"one", "another", "a third one of them"};
    const double row = hy_svg_legend_height(1000.0, names, 3);
    assert_true(hy_svg_legend_height(170.0, names, 3) > row);
    assert_true(hy_svg_legend_height(10.0, names, 3) == 3.0 * row);
}

/* ---- strips ---- */

enum { PIECES = 60000 };

typedef struct pieces {
    double end[PIECES]; /* of each; it begins where the one before ends */
    int kind[PIECES], n;
} pieces;

static const char *const classes[HY_STRIP_KINDS] = {"k0", "k1", "k2", "k3"};

static void put_pieces(void *context, FILE *out) {
    const pieces *p = context;
    hy_strip *strip = calloc(1, sizeof *strip);
    assert_non_null(strip);
    *strip = (hy_strip){out, 50.0, 0.0, 900.0, 10.0, 0.0, 1.0, classes, {{0.0}}};
    for (int i = 0; i < p->n; i++) {
        hy_strip_add(strip, p->kind[i], i > 0 ? p->end[i - 1] : 0.0, p->end[i], NULL);
    }
    hy_strip_finish(strip);
    free(strip);
}

/* Pixels of a kind: its rectangles' and its columns'. */
static double pixels_of(const char *svg, const char *class) {
    char start[40];
    double sum = 0.0;
    (void)snprintf(start, sizeof start, "class=\"%s\"", class);
    for (const char *at = strstr(svg, start); at != NULL; at = strstr(at + 1, start)) {
        const char *end = strchr(at, '\n'), *width = strstr(at, "width=\"");
        if (width != NULL && width < end) {
            sum += strtod(width + 7, NULL);
        }
        for (const char *c = at; c < end; c++) {
            sum += *c == 'h' && c > at && c[-1] >= '0' && c[-1] <= '9' && c[1] != '-' ? strtod(c + 1, NULL) : 0.0;
        }
    }
    return sum;
}

/* Stretches of time in which one kind has four fifths of pieces of any width. */
static void a_strip_shows_what_there_is(void **unused) {
    (void)unused;
    pieces *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (int round = 0; round < 6; round++) {
        const double mean = pow(10.0, -1.0 - 0.8 * round);
        double share[HY_STRIP_KINDS] = {0.0}, at = 0.0;
        for (p->n = 0; p->n < PIECES && at < 1.0; p->n++) {
            const int main_kind = (int)(4.0 * at) % HY_STRIP_KINDS;
            const double end = fmin(1.0, at + uniform(0.5, 1.5) * mean);
            p->kind[p->n] = uniform(0, 1) < 0.8 ? main_kind : (main_kind + 1) % HY_STRIP_KINDS;
            p->end[p->n] = end;
            share[mean * 900.0 < 0.2 ? main_kind : p->kind[p->n]] +=
                end - at; /* the fewer give way where none is seen */
            at = end;
        }
        char *svg = text_of(put_pieces, p);
        double all = 0.0;
        for (int k = 0; k < HY_STRIP_KINDS; k++) {
            all += pixels_of(svg, classes[k]);
            assert_true(fabs(pixels_of(svg, classes[k]) / 900.0 - share[k]) < 0.06);
        }
        assert_true(all > 895.0 * at && all < 950.0 * at); /* a column may lie over the edge of a piece beside it */
        assert_true(strlen(svg) < 120000);
        free(svg);
    }
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_and_inside), cmocka_unit_test(places_are_even),
        cmocka_unit_test(ticks_are_called_shortly),   cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(legends_break_their_rows),   cmocka_unit_test(a_strip_shows_what_there_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
