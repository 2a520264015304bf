#include <math.h>

#include "launch/plot/panel.h"
#include "launch/scale/ladder_curves.h"

enum { LEFT = 64, TOP = 40, WIDTH = HY_SVG_WIDTH - LEFT - 24, HEIGHT = 380, BELOW = 50, STEPS = 100 };

typedef struct ladder_picture {
    const hy_ladder_curve *curves;
    int n;
} ladder_picture;

/* From a little before the first point to a little after the last: [STEPS + 1]. */
static void trace_curve(const hy_axis *x, const hy_power_law *law, double *compute, double *loss) {
    for (int i = 0; i <= STEPS; i++) {
        compute[i] = x->low * pow(x->high / x->low, (double)i / STEPS);
        loss[i] = hy_power_law_at(law, compute[i]);
    }
}

static void widen(const ladder_picture *picture, hy_panel *panel) {
    for (int c = 0; c < picture->n; c++) {
        for (int i = 0; i < picture->curves[c].n; i++) {
            hy_axis_widen(&panel->x, picture->curves[c].compute[i]);
            hy_axis_widen(&panel->y, picture->curves[c].loss[i]);
        }
    }
    panel->x = (hy_axis){panel->x.low / 1.3, panel->x.high * 1.3, true};
    panel->y = (hy_axis){panel->y.low / 1.03, panel->y.high * 1.03, true};
}

static void put_curves(const ladder_picture *picture, const hy_panel *panel) {
    for (int c = 0; c < picture->n; c++) {
        const hy_ladder_curve *curve = &picture->curves[c];
        double compute[STEPS + 1], loss[STEPS + 1];
        char stroke[24], fill[16];
        (void)snprintf(stroke, sizeof stroke, "s%d d%d", c % HY_SVG_COLOURS, c / HY_SVG_COLOURS);
        (void)snprintf(fill, sizeof fill, "f%d", c % HY_SVG_COLOURS);
        if (curve->none == NULL) {
            trace_curve(&panel->x, &curve->law, compute, loss);
            hy_panel_put_line(panel, stroke, compute, loss, STEPS + 1);
        }
        hy_panel_put_dots(panel, fill, curve->compute, curve->loss, curve->n);
    }
}

/* "gla: 1.2 + 340 C^-0.2" */
static void name_curve(const hy_ladder_curve *curve, char *text, size_t size) {
    const hy_power_law *law = &curve->law;
    const char *after = curve->name[0] != '\0' ? ": " : "";
    if (curve->none != NULL) {
        (void)snprintf(text, size, "%s%s%s", curve->name, after, curve->none);
    } else if (law->plain == NULL) {
        (void)snprintf(text, size, "%s%s%.4g + %.4g C^-%.4g", curve->name, after, law->irreducible, law->scale,
                       law->exponent);
    } else {
        (void)snprintf(text, size, "%s%s%.4g C^-%.4g", curve->name, after, law->scale, law->exponent);
    }
}

static void draw(const void *context, FILE *out, bool alone) {
    const ladder_picture *picture = context;
    char texts[HY_LADDER_FAMILIES][256];
    const char *names[HY_LADDER_FAMILIES];
    for (int c = 0; c < picture->n; c++) {
        name_curve(&picture->curves[c], texts[c], sizeof texts[c]);
        names[c] = texts[c];
    }
    const double legend = 4.0 + hy_svg_legend_height(WIDTH, names, picture->n);
    hy_panel panel = {.out = out,
                      .left = LEFT,
                      .top = legend + TOP,
                      .width = WIDTH,
                      .height = HEIGHT,
                      .x = hy_axis_empty(),
                      .y = hy_axis_empty(),
                      .title = "loss against compute",
                      .x_name = "FLOP"};
    widen(picture, &panel);
    hy_svg_open(out, legend + TOP + HEIGHT + BELOW,
                "Loss of models of several sizes against the compute of their training", alone);
    hy_svg_legend(out, LEFT, 4.0, WIDTH, names, NULL, picture->n);
    hy_panel_put_frame(&panel);
    put_curves(picture, &panel);
    hy_svg_close(out);
}

hy_status hy_ladder_plot(const hy_ladder_curve *curves, int n, const char *svg) {
    return hy_svg_write(svg, draw, &(ladder_picture){curves, n});
}
