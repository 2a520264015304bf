/* What `hylas trace` prints. */
#ifndef HY_LAUNCH_TRACE_TABLES_H
#define HY_LAUNCH_TRACE_TABLES_H

#include "train/trace/advice.h"
#include "train/trace/critical_path.h"

/* Whole spans of some steps were kept: what follows is of these; else of all steps, from the totals. */
static inline bool hy_trace_is_whole(const hy_run_trace *trace) {
    return hy_run_trace_steps(trace) > 0;
}

/* Rank by rank, milliseconds of a step. */
HY_MUST_CHECK hy_status hy_trace_print_ranks(const hy_run_trace *trace, const hy_step_account *accounts);
/* The same from the totals. */
HY_MUST_CHECK hy_status hy_trace_print_rank_totals(const hy_run_trace *trace);
/* Exchange by exchange and layer by layer, per rank and step; the `most` most exposed ones, 0: all. */
HY_MUST_CHECK hy_status hy_trace_print_exchanges(const hy_run_trace *trace, int64_t most);
HY_MUST_CHECK hy_status hy_trace_print_path(const hy_run_trace *trace, const hy_path *path, int64_t step);
void hy_trace_print_advice(const hy_advice *advice, int n, double step_seconds);

/* "12", "ends" of embedding and head, "-" of neither. */
const char *hy_trace_layer(int block, char text[16]);

#endif
