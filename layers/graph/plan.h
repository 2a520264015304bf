/* A memory plan: what will be reserved, before anything is. Printed by `hylas plan`; a run reserves exactly this. */
#ifndef HY_LAYERS_PLAN_H
#define HY_LAYERS_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct hy_plan_entry {
    char name[64];
    char lifetime[32]; /* "run", "step", "block", "operation"; "start": freed before the others are reserved */
    int64_t bytes;
} hy_plan_entry;

typedef struct hy_plan {
    hy_plan_entry entries[96];
    int n;
} hy_plan;

static inline void hy_plan_init(hy_plan *plan) {
    plan->n = 0;
}
/* Local. HY_ERR_FAILED if the table is full. */
HY_MUST_CHECK hy_status hy_plan_add(hy_plan *plan, const char *name, const char *lifetime, int64_t bytes);
/* The most that is there at a time: all entries, or those of the start where they are more. */
int64_t hy_plan_total(const hy_plan *plan);

#endif
