/* What `hylas trace` prints. */
#ifndef HY_LAUNCH_TRACE_TABLES_H
#define HY_LAUNCH_TRACE_TABLES_H

#include <stdio.h>

#include "train/trace/advice.h"
#include "train/trace/critical_path.h"

/* Whole spans of some steps were kept: what follows is of these; else of all steps, from the totals. */
static inline bool hy_trace_is_whole(const hy_run_trace *trace) {
    return hy_run_trace_steps(trace) > 0;
}

/* One over the steps of all ranks: makes a sum over them the mean of a rank's step. */
static inline double hy_trace_per_step(const hy_run_trace *trace) {
    const int64_t steps = hy_trace_is_whole(trace) ? hy_run_trace_steps(trace) : trace->rank[0].file.info.steps;
    return steps > 0 ? 1.0 / (double)(steps * trace->ranks) : 0.0;
}

/* Operations have the times at which the host gave them to a device that was late. */
bool hy_trace_host_sees(const hy_run_trace *trace);
extern const char hy_trace_host_sees_note[];

/* Rank by rank, milliseconds of a step. */
HY_MUST_CHECK hy_status hy_trace_print_ranks(const hy_run_trace *trace, const hy_step_account *accounts, FILE *out);
/* The same from the totals. */
HY_MUST_CHECK hy_status hy_trace_print_rank_totals(const hy_run_trace *trace, FILE *out);
/* Exchange by exchange and layer by layer, per rank and step; the `most` most exposed ones, 0: all. */
HY_MUST_CHECK hy_status hy_trace_print_exchanges(const hy_run_trace *trace, int64_t most, FILE *out);
HY_MUST_CHECK hy_status hy_trace_print_path(const hy_run_trace *trace, const hy_path *path, int64_t step);
void hy_trace_print_advice(const hy_advice *advice, int n, double step_seconds);

/* "12", "ends" of embedding and head, "-" of neither. */
const char *hy_trace_layer(int block, char text[16]);

#endif
