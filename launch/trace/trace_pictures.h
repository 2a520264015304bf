/* Pictures of a trace (launch/plot/svg.h): what is in flight by layer, a step on all ranks, two runs beside each other. Each takes the analysis as
 * its context. */
#ifndef HY_LAUNCH_TRACE_PICTURES_H
#define HY_LAUNCH_TRACE_PICTURES_H

#include "launch/plot/svg.h"
#include "launch/trace/trace_analysis.h"

/* Before and after a change. */
typedef struct hy_trace_pair {
    const hy_trace_analysis *before, *after;
} hy_trace_pair;

hy_svg_draw hy_trace_draw_layers;   /* of a hy_trace_analysis: exchanges by layer, hidden and exposed */
hy_svg_draw hy_trace_draw_timeline; /* of a hy_trace_analysis with whole steps: the longest step */
hy_svg_draw hy_trace_draw_pair;     /* of a hy_trace_pair; where both have whole steps with what a rank does in one */

/* The same pair as a table. */
HY_MUST_CHECK hy_status hy_trace_print_pair(const hy_trace_pair *pair);

#endif
