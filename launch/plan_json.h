#ifndef HY_LAUNCH_PLAN_JSON_H
#define HY_LAUNCH_PLAN_JSON_H

#include "train/run/dry_run.h"
#include "train/run/trainer.h"

/* What `hylas plan` says, as one JSON document on stdout (docs/json.md). Local. */
HY_MUST_CHECK hy_status hy_plan_json(const hy_config *config, const hy_model *model, const hy_dry_run *dry,
                                     const hy_dry_run *whole, int ranks, int rank, bool documents);

#endif
