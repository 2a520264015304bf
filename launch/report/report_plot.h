/* The picture of `hylas report`: six panels, a colour per run, drawn by gnuplot. */
#ifndef HY_LAUNCH_REPORT_PLOT_H
#define HY_LAUNCH_REPORT_PLOT_H

#include "train/run/metrics_read.h"

typedef struct hy_report_run {
    char label[256];
    hy_metrics_history history;
} hy_report_run;

typedef enum hy_report_axis { HY_REPORT_STEP, HY_REPORT_TOKENS, HY_REPORT_HOURS } hy_report_axis;

/* Writes the SVG at `path`, or leaves what is there. HY_ERR_ENV without gnuplot. Local. */
HY_MUST_CHECK hy_status hy_report_plot(const hy_report_run *runs, int n_runs, hy_report_axis axis, const char *path);

#endif
