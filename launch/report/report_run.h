/* A run as `hylas report` reads it. */
#ifndef HY_LAUNCH_REPORT_RUN_H
#define HY_LAUNCH_REPORT_RUN_H

#include <stdio.h>

#include "base/file.h"
#include "train/run/metrics_read.h"

typedef struct hy_report_run {
    char label[256], folder[HY_PATH_MAX];
    hy_metrics_history history;
} hy_report_run;

/* Reads the metrics.jsonl of paths[n], folders of runs or the files themselves; runs are called by what tells them apart. runs[n], zeroed, whose
 * histories the caller frees in any case. HY_ERR_DATA where there is none, or no step in it. Local. */
HY_MUST_CHECK hy_status hy_report_read(const char *const *paths, int n, hy_report_run *runs);

/* A row for each run; then for each validation store, if there is any. */
HY_MUST_CHECK hy_status hy_report_print_runs(const hy_report_run *runs, int n, FILE *out);
HY_MUST_CHECK hy_status hy_report_print_validations(const hy_report_run *runs, int n, FILE *out);

#endif
