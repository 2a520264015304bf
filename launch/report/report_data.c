/* Long runs are drawn as at most HY_REPORT_POINTS_MAX means with a pale band from the least to the greatest of what each
 * stands for, so that a spike of one step in a million is still seen. */
#include <math.h>

#include "launch/report/report_picture.h"

void hy_scale_widen(scale *s, double value) {
    if (isfinite(value)) {
        s->low = value < s->low ? value : s->low;
        s->high = value > s->high ? value : s->high;
    }
}

double hy_report_value(const hy_step_record *r, curve c) {
    const double values[N_CURVES] = {[CURVE_LOSS] = r->loss,
                                     [CURVE_LR] = r->lr,
                                     [CURVE_NORM] = r->grad_norm,
                                     [CURVE_RATE] = r->tokens_per_second,
                                     [CURVE_EXPOSED] = 100.0 * r->exposed};
    return values[c];
}

double hy_report_x(const picture *p, const hy_step_record *r, double hours) {
    return (p->axis == HY_REPORT_TOKENS  ? r->tokens
            : p->axis == HY_REPORT_HOURS ? hours
                                         : (double)r->step) /
           p->x_unit.size;
}

double hy_report_hours(const hy_step_record *r) {
    return isfinite(r->seconds) ? r->seconds / 3600.0 : 0.0;
}

/* Mean, least and greatest of a curve over records [begin, end); NaN where there is no value. */
static void put_range(const picture *p, const hy_step_record *records, int64_t begin, int64_t end, curve c) {
    scale s = {INFINITY, -INFINITY};
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t i = begin; i < end; i++) {
        const double value = hy_report_value(&records[i], c);
        if (isfinite(value)) {
            hy_scale_widen(&s, value);
            sum += value;
            n++;
        }
    }
    if (n == 0) {
        fprintf(p->out, " NaN NaN NaN");
    } else {
        fprintf(p->out, " %.8g %.8g %.8g", sum / (double)n, s.low, s.high);
    }
}

void hy_report_put_steps(const picture *p, int run) {
    const hy_metrics_history *h = &p->runs[run].history;
    const int64_t points = h->n_steps < HY_REPORT_POINTS_MAX ? h->n_steps : HY_REPORT_POINTS_MAX;
    double hours = 0.0;
    fprintf(p->out, "$steps%d << END\n", run);
    for (int64_t i = 0, record = 0; i < points; i++) {
        const int64_t begin = i * h->n_steps / points, end = (i + 1) * h->n_steps / points;
        for (; record < end; record++) {
            hours += hy_report_hours(&h->steps[record]);
        }
        fprintf(p->out, "%.10g", hy_report_x(p, &h->steps[end - 1], hours));
        for (int c = 0; c < N_CURVES; c++) {
            put_range(p, h->steps, begin, end, (curve)c);
        }
        fputc('\n', p->out);
    }
    fprintf(p->out, "%sEND\n", points == 0 ? "NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN\n" : "");
}

/* The x of a validation is that of the step before it. */
void hy_report_put_evals(const picture *p, int run, int store) {
    const hy_metrics_history *h = &p->runs[run].history;
    double hours = 0.0;
    int64_t next = 0;
    fprintf(p->out, "$evals%d_%d << END\n", run, store);
    for (int64_t e = 0; e < h->n_evals; e++) {
        while (next < h->n_steps && h->steps[next].step <= h->evals[e].step) {
            hours += hy_report_hours(&h->steps[next++]);
        }
        if (h->evals[e].store == store && next > 0) {
            fprintf(p->out, "%.10g %.8g\n", hy_report_x(p, &h->steps[next - 1], hours), h->evals[e].loss);
        }
    }
    fprintf(p->out, "NaN NaN\nEND\n");
}
