/* What the curves of a report go through. */
#include <math.h>

#include "base/memory.h"
#include "launch/report/report_curves.h"

double hy_report_value(const hy_step_record *r, hy_curve curve) {
    const double values[HY_CURVES] = {[HY_CURVE_LOSS] = r->loss,
                                      [HY_CURVE_LR] = r->lr,
                                      [HY_CURVE_NORM] = r->grad_norm,
                                      [HY_CURVE_RATE] = r->tokens_per_second,
                                      [HY_CURVE_EXPOSED] = 100.0 * r->exposed};
    return values[curve];
}

int64_t hy_report_last_step(const hy_metrics_history *h) {
    const int64_t step = h->n_steps > 0 ? h->steps[h->n_steps - 1].step : 0;
    return h->n_evals > 0 && h->evals[h->n_evals - 1].step > step ? h->evals[h->n_evals - 1].step : step;
}

/* `hours`: what this record and those before took. */
static double x_of_step(hy_report_axis axis, const hy_step_record *r, double hours) {
    return axis == HY_REPORT_TOKENS ? r->tokens : axis == HY_REPORT_HOURS ? hours : (double)r->step;
}

static double hours_of(const hy_step_record *r) {
    return isfinite(r->seconds) ? r->seconds / 3600.0 : 0.0;
}

/* Mean, least and greatest of a curve over records [begin, end). */
static void add_range(hy_report_points *p, const hy_step_record *records, int64_t begin, int64_t end, hy_curve curve) {
    hy_axis range = hy_axis_empty();
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t i = begin; i < end; i++) {
        const double value = hy_report_value(&records[i], curve);
        if (isfinite(value)) {
            hy_axis_widen(&range, value);
            sum += value;
            n++;
        }
    }
    p->mean[curve][p->n] = n > 0 ? sum / (double)n : NAN;
    p->low[curve][p->n] = n > 0 ? range.low : NAN;
    p->high[curve][p->n] = n > 0 ? range.high : NAN;
}

static void add_steps(const hy_metrics_history *h, hy_report_axis axis, hy_report_points *p) {
    const int64_t points = h->n_steps < HY_REPORT_POINTS_MAX ? h->n_steps : HY_REPORT_POINTS_MAX;
    double hours = 0.0;
    for (int64_t i = 0, record = 0; i < points; i++, p->n++) {
        const int64_t begin = i * h->n_steps / points, end = (i + 1) * h->n_steps / points;
        for (; record < end; record++) {
            hours += hours_of(&h->steps[record]);
        }
        p->x[p->n] = x_of_step(axis, &h->steps[end - 1], hours);
        for (int c = 0; c < HY_CURVES; c++) {
            add_range(p, h->steps, begin, end, (hy_curve)c);
        }
    }
}

static hy_status add_evals(const hy_metrics_history *h, hy_report_axis axis, hy_report_points *p) {
    double hours = 0.0;
    int64_t next = 0;
    HY_TRY(HY_NEW("validations of a report", h->n_evals + 1, &p->eval_x));
    HY_TRY(HY_NEW("validations of a report", h->n_evals + 1, &p->eval_loss));
    for (int64_t e = 0; e < h->n_evals; e++) {
        while (next < h->n_steps && h->steps[next].step <= h->evals[e].step) {
            hours += hours_of(&h->steps[next++]);
        }
        p->eval_x[e] = next > 0 ? x_of_step(axis, &h->steps[next - 1], hours) : NAN;
        p->eval_loss[e] = h->evals[e].loss;
    }
    return HY_OK;
}

static void choose_x(hy_report_curves *c) {
    c->x = hy_axis_empty();
    for (int run = 0; run < c->n; run++) {
        const hy_metrics_history *h = &c->runs[run].history;
        double hours = 0.0;
        for (int64_t i = 0; i < h->n_steps; i++) {
            hours += hours_of(&h->steps[i]);
            hy_axis_widen(&c->x, x_of_step(c->axis, &h->steps[i], hours));
        }
        c->longest = hy_report_last_step(h) > c->longest ? hy_report_last_step(h) : c->longest;
    }
    if (hy_axis_is_empty(&c->x)) {
        c->x = (hy_axis){0.0, 1.0, false};
    }
    if (c->x.high <= c->x.low) {
        c->x.low -= 0.5;
        c->x.high += 0.5;
    }
}

hy_status hy_report_curves_create(const hy_report_run *runs, int n, hy_report_axis axis, hy_report_curves **out) {
    hy_report_curves *curves = NULL;
    HY_TRY(HY_NEW("curves of a report", 1, &curves));
    *curves = (hy_report_curves){.runs = runs, .n = n, .axis = axis};
    choose_x(curves);
    hy_status status = HY_NEW("points of a report", n, &curves->points);
    for (int run = 0; run < n && status == HY_OK; run++) {
        add_steps(&runs[run].history, axis, &curves->points[run]);
        status = add_evals(&runs[run].history, axis, &curves->points[run]);
    }
    if (status != HY_OK) {
        hy_report_curves_destroy(curves);
        return status;
    }
    *out = curves;
    return HY_OK;
}

void hy_report_curves_destroy(hy_report_curves *curves) {
    for (int run = 0; curves != NULL && curves->points != NULL && run < curves->n; run++) {
        hy_free(curves->points[run].eval_x);
        hy_free(curves->points[run].eval_loss);
    }
    if (curves != NULL) {
        hy_free(curves->points);
    }
    hy_free(curves);
}
