#include "train/run/lr_schedule.h"

#include <math.h>

/* How much of the way from lr down to lr·min_lr_ratio is left, after the warm-up: 1 to 0. */
static double rest_at(const hy_lr_schedule *s, int64_t step) {
    const double pi = 3.14159265358979323846;
    if (s->kind == HY_LR_CONSTANT) {
        return 1.0;
    }
    if (step >= s->steps) {
        return 0.0;
    }
    if (s->kind == HY_LR_WSD) {
        const int64_t left = s->steps - step;
        return left >= s->decay ? 1.0 : (double)left / (double)s->decay;
    }
    return 0.5 * (1.0 + cos(pi * (double)(step - s->warmup) / (double)(s->steps - s->warmup)));
}

double hy_lr_schedule_at(const hy_lr_schedule *schedule, int64_t step) {
    const double low = schedule->min_lr_ratio;
    if (step <= schedule->warmup) {
        return schedule->lr * (double)step / (double)schedule->warmup;
    }
    return schedule->lr * (low + (1.0 - low) * rest_at(schedule, step));
}
