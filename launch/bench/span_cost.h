/* What recording spans (base/span.h) costs a step: pairs of steps, one with and one without, in turn which is first, and the median of their ratios with
 * the interval that holds it with 95% (order statistics: Hahn and Meeker 1991, 5.2). */
#ifndef HY_LAUNCH_BENCH_SPAN_COST_H
#define HY_LAUNCH_BENCH_SPAN_COST_H

#include "base/json.h"
#include "train/trace/recorder.h"

typedef struct hy_span_cost {
    hy_config config; /* of the recorder: nothing is written, no step is kept whole */
    hy_recorder *recorder;
    double *ratios; /* [pairs] */
    int64_t pairs, n;
    int64_t spans; /* of the last step with them, on this rank */
} hy_span_cost;

/* Collective. */
HY_MUST_CHECK hy_status hy_span_cost_create(const hy_config *config, const hy_mesh *mesh, hy_device *device,
                                            int64_t pairs, hy_span_cost **out);
void hy_span_cost_destroy(hy_span_cost *cost); /* NULL allowed */
/* Around what a step with spans does; outside no span is begun. Collective. */
void hy_span_cost_begin(hy_span_cost *cost, int64_t step);
void hy_span_cost_end(hy_span_cost *cost);
/* A pair, in seconds of the slowest rank. */
void hy_span_cost_add(hy_span_cost *cost, double with, double without);

typedef struct hy_span_cost_result {
    double median, low, high; /* times of a step without */
} hy_span_cost_result;
enum { HY_SPAN_PAIRS_MIN = 6 }; /* fewer hold the median with less than 95% between the least and the largest */
/* Sorts the pairs, HY_SPAN_PAIRS_MIN at least. */
hy_span_cost_result hy_span_cost_of(hy_span_cost *cost);
/* Both rank 0's. */
void hy_span_cost_print(hy_span_cost *cost);
/* "spans": an object. */
void hy_span_cost_write(hy_span_cost *cost, hy_json *json);

#endif
