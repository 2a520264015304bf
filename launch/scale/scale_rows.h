/* The CSV file of a scaling study, read back: lines of points. Columns are known by their names; those before `tokens` are settings, of which the
 * ones that differ anywhere name the lines. */
#ifndef HY_LAUNCH_SCALE_ROWS_H
#define HY_LAUNCH_SCALE_ROWS_H

#include <stdint.h>

#include "base/status.h"

enum { HY_SCALE_LINES = 24, HY_SCALE_POINTS = 64, HY_SCALE_NAME = 160 };

typedef enum hy_scale_value {
    HY_SCALE_RATE,       /* tokens per second */
    HY_SCALE_EFFICIENCY, /* of the line's fewest ranks */
    HY_SCALE_EXPOSED,    /* share */
    HY_SCALE_MEMORY,     /* bytes of a rank */
    HY_SCALE_VALUES
} hy_scale_value;

typedef struct hy_scale_line {
    char name[HY_SCALE_NAME];
    int n;
    double ranks[HY_SCALE_POINTS]; /* ascending */
    uint64_t config[HY_SCALE_POINTS];
    double value[HY_SCALE_VALUES][HY_SCALE_POINTS];
} hy_scale_line;

typedef struct hy_scale_lines {
    hy_scale_line line[HY_SCALE_LINES];
    int n;
} hy_scale_lines;

/* As hy_scale_plot says. Freed with hy_free. Local. */
HY_MUST_CHECK hy_status hy_scale_lines_read(const char *csv, hy_scale_lines **out);

#endif
