/* What a ladder shows: its points, a curve of loss against compute for each family, and both as a picture. */
#ifndef HY_LAUNCH_SCALE_LADDER_CURVES_H
#define HY_LAUNCH_SCALE_LADDER_CURVES_H

#include "launch/scale/ladder_point.h"
#include "launch/scale/power_law.h"

typedef struct hy_ladder_curve {
    char name[160];               /* of the family; "": there is one */
    const double *compute, *loss; /* [n] */
    int n;
    const char *none; /* why there is no curve; NULL: there is */
    hy_power_law law;
} hy_ladder_curve;

/* points[hy_ladder_points(grid)], to stdout; `svg`: a picture's file, or NULL. Local. */
HY_MUST_CHECK hy_status hy_ladder_show(const hy_ladder_grid *grid, const hy_ladder_point *points, const char *svg);

/* Both axes logarithmic. curves[n]. Local. */
HY_MUST_CHECK hy_status hy_ladder_plot(const hy_ladder_curve *curves, int n, const char *svg);

#endif
