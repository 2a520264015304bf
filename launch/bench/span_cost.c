#include "launch/bench/span_cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/span.h"

hy_status hy_span_cost_create(const hy_config *config, const hy_mesh *mesh, hy_device *device, int64_t pairs,
                              hy_span_cost **out) {
    hy_span_cost *cost = NULL;
    hy_status status = HY_NEW("cost of spans", 1, &cost);
    if (status == HY_OK) {
        *cost = (hy_span_cost){.config = *config, .pairs = pairs};
        cost->config.trace.on = true;
        cost->config.trace.steps[0] = '\0';
        cost->config.run.dir[0] = '\0';
        status = HY_NEW("pairs of steps", pairs, &cost->ratios);
    }
    status = hy_comm_agree(mesh->world, status);
    status = status == HY_OK ? hy_recorder_create(&cost->config, mesh, device, &cost->recorder) : status;
    if (status != HY_OK) {
        hy_span_cost_destroy(cost);
        return status;
    }
    hy_spans_pause(true);
    *out = cost;
    return HY_OK;
}

void hy_span_cost_destroy(hy_span_cost *cost) {
    if (cost != NULL) {
        hy_recorder_destroy(cost->recorder);
        hy_free(cost->ratios);
        hy_free(cost);
    }
}

void hy_span_cost_begin(hy_span_cost *cost, int64_t step) {
    hy_spans_pause(false);
    cost->spans = -hy_spans_count();
    hy_recorder_step_begin(cost->recorder, step);
}

void hy_span_cost_end(hy_span_cost *cost) {
    hy_recorder_step_end(cost->recorder);
    cost->spans += hy_spans_count();
    hy_spans_pause(true);
}

void hy_span_cost_add(hy_span_cost *cost, double with, double without) {
    cost->ratios[cost->n++] = with / without;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of n values in order, 6 at least, the median lies between the k-th and the (n + 1 − k)-th with 95%: k = (n + 1)/2 − 1.96·√n/2. */
hy_span_cost_result hy_span_cost_of(hy_span_cost *cost) {
    const int64_t n = cost->n;
    const double *r = cost->ratios;
    qsort(cost->ratios, (size_t)n, sizeof *cost->ratios, compare);
    const double rank = floor(0.5 * ((double)n + 1.0) - 0.98 * sqrt((double)n));
    const int64_t k = rank > 1.0 ? (int64_t)rank : 1;
    return (hy_span_cost_result){.median = 0.5 * (r[(n - 1) / 2] + r[n / 2]), .low = r[k - 1], .high = r[n - k]};
}

void hy_span_cost_print(hy_span_cost *cost) {
    const hy_span_cost_result of = hy_span_cost_of(cost);
    printf("\nrecording %lld spans a step (rank 0): %.4f times a step without (95%%: %.4f to %.4f), %lld pairs\n",
           (long long)cost->spans, of.median, of.low, of.high, (long long)cost->n);
}

void hy_span_cost_write(hy_span_cost *cost, hy_json *json) {
    const hy_span_cost_result of = hy_span_cost_of(cost);
    hy_json_open_object(json, "spans");
    hy_json_int(json, "per_step", cost->spans);
    hy_json_double(json, "ratio", of.median);
    hy_json_double(json, "low", of.low);
    hy_json_double(json, "high", of.high);
    hy_json_int(json, "pairs", cost->n);
    hy_json_close(json);
}
