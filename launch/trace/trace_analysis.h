/* What is found out about the trace of a run: what `hylas trace` prints and draws, and the page of `hylas report` shows. */
#ifndef HY_LAUNCH_TRACE_ANALYSIS_H
#define HY_LAUNCH_TRACE_ANALYSIS_H

#include "train/trace/advice.h"
#include "train/trace/critical_path.h"

/* What a rank had in flight for a layer, seconds of a step, mean of all ranks: unions of intervals. */
typedef struct hy_layer_flight {
    int block; /* as in hy_span_place */
    double hidden, exposed;
} hy_layer_flight;

typedef struct hy_trace_analysis {
    const char *run; /* its folder */
    hy_config config;
    hy_run_trace trace;
    hy_match match;
    hy_layer_flight
        *layers; /* [n_layers], by block; of a run without whole steps sums over its exchanges: an upper bound */
    int n_layers;
    /* of whole steps only (hy_trace_is_whole): */
    hy_step_account *accounts; /* [ranks], sums of all steps */
    int64_t longest;           /* which of the steps took longest; the path is its */
    hy_path path;
    hy_advice *advice; /* [n_advice] */
    int n_advice;
} hy_trace_analysis;

/* Reads RUN/trace and RUN/config.yaml. HY_ERR_DATA where they are missing or damaged. Local. */
HY_MUST_CHECK hy_status hy_trace_analyse(const char *run, hy_trace_analysis **out);
void hy_trace_analysis_destroy(hy_trace_analysis *analysis); /* NULL allowed */

/* Seconds of a step on the mean rank; whole steps only. */
hy_step_account hy_trace_mean_step(const hy_trace_analysis *analysis);

#endif
