/* The curves of `hylas report`: six panels, a colour per run. Long runs are drawn as at most HY_REPORT_POINTS_MAX means with a pale band from the
 * least to the greatest of what each stands for, so that a spike of one step in a million is still seen. */
#ifndef HY_LAUNCH_REPORT_CURVES_H
#define HY_LAUNCH_REPORT_CURVES_H

#include "launch/plot/plot_axis.h"
#include "launch/plot/svg.h"
#include "launch/report/report_run.h"

enum { HY_REPORT_POINTS_MAX = 400 }; /* of a curve */

typedef enum hy_report_axis { HY_REPORT_STEP, HY_REPORT_TOKENS, HY_REPORT_HOURS } hy_report_axis;

typedef enum hy_curve {
    HY_CURVE_LOSS,
    HY_CURVE_LR,
    HY_CURVE_NORM,
    HY_CURVE_RATE,
    HY_CURVE_EXPOSED,
    HY_CURVES
} hy_curve;

typedef struct hy_report_points {
    int64_t n;
    double x[HY_REPORT_POINTS_MAX];
    double mean[HY_CURVES][HY_REPORT_POINTS_MAX], low[HY_CURVES][HY_REPORT_POINTS_MAX],
        high[HY_CURVES][HY_REPORT_POINTS_MAX]; /* NaN where there is no value */
    double *eval_x, *eval_loss; /* [history.n_evals]: x is that of the step before it, NaN before the first */
} hy_report_points;

typedef struct hy_report_curves {
    const hy_report_run *runs; /* [n] */
    int n;
    hy_report_axis axis;
    hy_axis x;
    int64_t longest;          /* last step of all runs */
    hy_report_points *points; /* [n] */
} hy_report_curves;

double hy_report_value(const hy_step_record *record, hy_curve curve);
int64_t hy_report_last_step(const hy_metrics_history *history);

/* `runs` must outlive it. Local. */
HY_MUST_CHECK hy_status hy_report_curves_create(const hy_report_run *runs, int n, hy_report_axis axis,
                                                hy_report_curves **out);
void hy_report_curves_destroy(hy_report_curves *curves); /* NULL allowed */

hy_svg_draw hy_report_draw_curves; /* of a hy_report_curves */

#endif
