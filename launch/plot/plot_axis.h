/* What an axis shows, where its ticks are and how they are called. */
#ifndef HY_LAUNCH_PLOT_AXIS_H
#define HY_LAUNCH_PLOT_AXIS_H

#include <stdbool.h>

typedef struct hy_axis {
    double low, high; /* low > high: nothing yet */
    bool log;         /* both above 0 */
} hy_axis;

enum { HY_TICKS_MAX = 32 };

hy_axis hy_axis_empty(void);
bool hy_axis_is_empty(const hy_axis *axis);
void hy_axis_widen(hy_axis *axis, double value); /* NaN and infinities do not count */
/* With room around what was seen: from 0 or with a margin below; logarithmic if `may_log` and it spans a factor of fifty. Empty: 0 to 1. */
void hy_axis_settle(hy_axis *axis, bool from_zero, bool may_log);
/* Where a value lies: 0 at low, 1 at high. */
double hy_axis_place(const hy_axis *axis, double value);
/* Round values of the axis, ascending, about `wanted` of them (at least 3); returns how many. */
int hy_axis_ticks(const hy_axis *axis, int wanted, double ticks[HY_TICKS_MAX]);

typedef struct hy_tick_text {
    char s[24];
} hy_tick_text;
/* "250", "1.5k", "2M", "0.0003". */
hy_tick_text hy_axis_text(double value);

#endif
