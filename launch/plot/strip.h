/* A row of a timeline: stretches of a few kinds, side by side. What is too narrow to be seen alone is added up by pixel, which takes the colour of
 * what fills most of it; so a row has no more pieces than pixels, however many stretches there are. */
#ifndef HY_LAUNCH_PLOT_STRIP_H
#define HY_LAUNCH_PLOT_STRIP_H

#include "launch/plot/svg.h"

enum { HY_STRIP_KINDS = 4 };

typedef struct hy_strip {
    FILE *out;
    double left, top, width, height;             /* pixels; at most HY_SVG_WIDTH wide */
    double begin, end;                           /* what lies at its left and right, in units of time */
    const char *const *classes;                  /* [HY_STRIP_KINDS] */
    double filled[HY_SVG_WIDTH][HY_STRIP_KINDS]; /* share of each pixel; 0 at first */
} hy_strip;

/* `tip`: shown over it if it is wide enough. What is outside [begin, end] is cut. */
void hy_strip_add(hy_strip *strip, int kind, double begin, double end, const char *tip);
/* Draws what was too narrow. */
void hy_strip_finish(const hy_strip *strip);

#endif
