#include "train/trace/step_set.h"

#include <stdlib.h>

/* A number from 1; 0 if there is none at *at. */
static int64_t read_step(const char **at) {
    char *end = NULL;
    const long long value = **at >= '0' && **at <= '9' ? strtoll(*at, &end, 10) : 0;
    *at = end != NULL ? end : *at;
    return value;
}

hy_status hy_step_set_parse(const char *where, const char *text, hy_step_set *set) {
    const char *at = text;
    *set = (hy_step_set){.n = 0};
    while (*at != '\0') {
        const int64_t first = read_step(&at);
        int64_t last = first;
        if (*at == '-') {
            at++;
            last = read_step(&at);
        }
        if (first < 1 || last < first || (*at != ',' && *at != '\0') || set->n == HY_STEP_RANGES_MAX) {
            return hy_fail(HY_ERR_USAGE,
                           "%s: '%s' names no steps: numbers from 1 and ranges, %d at most, as in 10-12,50", where,
                           text, HY_STEP_RANGES_MAX);
        }
        set->ranges[set->n].first = first;
        set->ranges[set->n++].last = last;
        at += *at == ',';
    }
    return HY_OK;
}

bool hy_step_set_has(const hy_step_set *set, int64_t step) {
    for (int i = 0; i < set->n; i++) {
        if (step >= set->ranges[i].first && step <= set->ranges[i].last) {
            return true;
        }
    }
    return false;
}
