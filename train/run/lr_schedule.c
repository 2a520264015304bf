#include "train/run/lr_schedule.h"

#include <math.h>

double hy_lr_schedule_at(const hy_lr_schedule *schedule, int64_t step) {
    const double pi = 3.14159265358979323846, low = schedule->min_lr_ratio;
    if (step <= schedule->warmup) {
        return schedule->lr * (double)step / (double)schedule->warmup;
    }
    if (step >= schedule->steps) {
        return schedule->lr * low;
    }
    const double way = (double)(step - schedule->warmup) / (double)(schedule->steps - schedule->warmup);
    return schedule->lr * (low + (1.0 - low) * 0.5 * (1.0 + cos(pi * way)));
}
