#include "layers/graph/plan.h"

#include <stdio.h>
#include <string.h>

hy_status hy_plan_add(hy_plan *plan, const char *name, const char *lifetime, int64_t bytes) {
    if (plan->n == (int)(sizeof(plan->entries) / sizeof(plan->entries[0]))) {
        return hy_fail(HY_ERR_FAILED, "memory plan: no room for entry '%s'", name);
    }
    hy_plan_entry *e = &plan->entries[plan->n++];
    snprintf(e->name, sizeof(e->name), "%s", name);
    snprintf(e->lifetime, sizeof(e->lifetime), "%s", lifetime);
    e->bytes = bytes;
    return HY_OK;
}

int64_t hy_plan_total(const hy_plan *plan) {
    int64_t start = 0, rest = 0;
    for (int i = 0; i < plan->n; i++) {
        *(strcmp(plan->entries[i].lifetime, "start") == 0 ? &start : &rest) += plan->entries[i].bytes;
    }
    return start > rest ? start : rest;
}
