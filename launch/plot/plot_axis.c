#include "launch/plot/plot_axis.h"

#include <math.h>
#include <stdio.h>

hy_axis hy_axis_empty(void) {
    return (hy_axis){INFINITY, -INFINITY, false};
}

bool hy_axis_is_empty(const hy_axis *axis) {
    return axis->low > axis->high;
}

void hy_axis_widen(hy_axis *axis, double value) {
    if (isfinite(value)) {
        axis->low = value < axis->low ? value : axis->low;
        axis->high = value > axis->high ? value : axis->high;
    }
}

void hy_axis_settle(hy_axis *axis, bool from_zero, bool may_log) {
    if (hy_axis_is_empty(axis)) {
        *axis = (hy_axis){0.0, 1.0, false};
        return;
    }
    if (may_log && !from_zero && axis->low > 0.0 && axis->high > 50.0 * axis->low) {
        *axis = (hy_axis){axis->low / 1.2, axis->high * 1.2, true};
        return;
    }
    const double low = from_zero && axis->low > 0.0 ? 0.0 : axis->low;
    const double margin = axis->high > low ? 0.05 * (axis->high - low) : 0.05 * fabs(axis->high);
    axis->high += margin > 0.0 ? margin : 1.0;
    axis->low = low == 0.0 ? 0.0 : low - (margin > 0.0 ? margin : 1.0);
}

double hy_axis_place(const hy_axis *axis, double value) {
    if (axis->log) {
        return log(value / axis->low) / log(axis->high / axis->low);
    }
    return (value - axis->low) / (axis->high - axis->low);
}

/* 1, 2 or 5 times a power of ten: not below `least`. */
static double round_step(double least) {
    const double power = pow(10.0, floor(log10(least)));
    const double ratio = least / power;
    return power * (ratio <= 1.0 ? 1.0 : ratio <= 2.0 ? 2.0 : ratio <= 5.0 ? 5.0 : 10.0);
}

static int linear_ticks(const hy_axis *axis, int wanted, double *ticks) {
    const double step = round_step((axis->high - axis->low) / wanted * (1.0 - 1e-9));
    const double first = ceil(axis->low / step - 1e-9);
    int n = 0;
    for (; n < HY_TICKS_MAX && (first + n) * step <= axis->high + 1e-9 * step; n++) {
        ticks[n] = (first + n) * step;
    }
    return n;
}

/* Every decade, or every few; over less than `wanted` decades 2 and 5 as well, over a part of one as on a linear axis. */
static int log_ticks(const hy_axis *axis, int wanted, double *ticks) {
    static const double within[] = {1.0, 2.0, 5.0};
    const double decades = log10(axis->high / axis->low);
    const int parts = decades * 3.0 <= wanted ? 3 : 1, every = (int)ceil(decades / wanted);
    int n = 0;
    if (decades < 1.0) {
        return linear_ticks(axis, wanted, ticks);
    }
    for (int d = (int)floor(log10(axis->low)); n < HY_TICKS_MAX && pow(10.0, d) <= axis->high; d += every) {
        for (int i = 0; i < parts && n < HY_TICKS_MAX; i++) {
            const double tick = within[i] * pow(10.0, d);
            if (tick >= axis->low * (1.0 - 1e-9) && tick <= axis->high * (1.0 + 1e-9)) {
                ticks[n++] = tick;
            }
        }
    }
    return n;
}

int hy_axis_ticks(const hy_axis *axis, int wanted, double ticks[HY_TICKS_MAX]) {
    wanted = wanted < 3 ? 3 : wanted > HY_TICKS_MAX / 2 ? HY_TICKS_MAX / 2 : wanted;
    return axis->log ? log_ticks(axis, wanted, ticks) : linear_ticks(axis, wanted, ticks);
}

hy_tick_text hy_axis_text(double value) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P"};
    hy_tick_text text;
    int k = 0;
    for (; k < 5 && fabs(value) >= 1e3 * (1.0 - 1e-9); k++) {
        value /= 1e3;
    }
    (void)snprintf(text.s, sizeof text.s, "%.5g%s", fabs(value) < 1e-12 ? 0.0 : value, units[k]);
    return text;
}
