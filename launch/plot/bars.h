/* Lying bars, one below the other, each of parts that are stacked. */
#ifndef HY_LAUNCH_PLOT_BARS_H
#define HY_LAUNCH_PLOT_BARS_H

#include "launch/plot/svg.h"

enum { HY_BAR_PARTS = 8 };

typedef struct hy_bar {
    char label[48];
    double part[HY_BAR_PARTS];
    bool apart; /* a gap above it */
} hy_bar;

typedef struct hy_bars {
    const hy_bar *bars;
    int n, n_parts;
    const char *title, *unit;   /* of the values: "ms per step" */
    const char *const *names;   /* [n_parts] */
    const char *const *classes; /* [n_parts] of the parts' rectangles */
} hy_bars;

/* What they take; then drawing them with their top at `y`, over the whole width of a picture. Pure. */
double hy_bars_height(const hy_bars *bars);
void hy_bars_put(FILE *out, const hy_bars *bars, double y);

#endif
