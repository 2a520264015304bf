/* Steps that a configuration names: "10-12,50". */
#ifndef HY_TRAIN_STEP_SET_H
#define HY_TRAIN_STEP_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_STEP_RANGES_MAX = 16 };

typedef struct hy_step_set {
    int n;
    struct {
        int64_t first, last;
    } ranges[HY_STEP_RANGES_MAX];
} hy_step_set;

/* "": none. HY_ERR_USAGE, beginning with `where`, for anything else than numbers from 1 and ranges of them. Local. */
HY_MUST_CHECK hy_status hy_step_set_parse(const char *where, const char *text, hy_step_set *set);
bool hy_step_set_has(const hy_step_set *set, int64_t step);

#endif
