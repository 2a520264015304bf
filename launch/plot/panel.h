/* A panel of a picture: two axes, and lines and bands in it. */
#ifndef HY_LAUNCH_PLOT_PANEL_H
#define HY_LAUNCH_PLOT_PANEL_H

#include <stdint.h>

#include "launch/plot/plot_axis.h"
#include "launch/plot/svg.h"

typedef struct hy_panel {
    FILE *out;
    double left, top, width,
        height;                 /* of what lies between the axes; ticks, the title and the name of x lie around it */
    hy_axis x, y;               /* settled */
    const char *title, *x_name; /* x_name NULL: none */
    const double *x_ticks;      /* [n_x_ticks]; NULL: round values */
    int n_x_ticks;
} hy_panel;

/* Around the panel: grid, ticks, names. */
void hy_panel_put_frame(const hy_panel *panel);
/* In its middle, in place of what is not there. */
void hy_panel_put_word(const hy_panel *panel, const char *word);
/* Through (x[i], y[i]); broken where one is no number. `dots`: points are marked. Only what is inside the axes is seen. */
void hy_panel_put_line(const hy_panel *panel, const char *classes, const double *x, const double *y, int64_t n);
void hy_panel_put_dots(const hy_panel *panel, const char *classes, const double *x, const double *y, int64_t n);
/* Between low[i] and high[i]. */
void hy_panel_put_band(const hy_panel *panel, const char *classes, const double *x, const double *low,
                       const double *high, int64_t n);

#endif
