/* Between the files that draw a report: what is drawn, and its data as gnuplot reads them. */
#ifndef HY_LAUNCH_REPORT_PICTURE_H
#define HY_LAUNCH_REPORT_PICTURE_H

#include <stdbool.h>
#include <stdio.h>

#include "launch/report/report_plot.h"

enum { HY_REPORT_POINTS_MAX = 400 }; /* of a curve */

typedef enum curve { CURVE_LOSS, CURVE_LR, CURVE_NORM, CURVE_RATE, CURVE_EXPOSED, N_CURVES } curve;

typedef struct scale {
    double low, high;
} scale;

/* What an axis counts in, so that its ticks are short. */
typedef struct axis_unit {
    double size;
    char name[24]; /* ", millions"; "" for ones */
} axis_unit;

typedef struct picture {
    const hy_report_run *runs;
    int n_runs;
    hy_report_axis axis;
    axis_unit x_unit;
    int64_t longest; /* last step of all runs */
    FILE *out;
} picture;

void hy_scale_widen(scale *s, double value); /* NaN and infinities do not count */
double hy_report_value(const hy_step_record *r, curve c);
/* Of a record; `hours` adds up what it and the records before took. */
double hy_report_x(const picture *p, const hy_step_record *r, double hours);
double hy_report_hours(const hy_step_record *r);

/* $steps<run>: x, then mean, least and greatest of each curve. */
void hy_report_put_steps(const picture *p, int run);
/* $evals<run>_<store>: x and loss. */
void hy_report_put_evals(const picture *p, int run, int store);

#endif
