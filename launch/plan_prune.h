#ifndef HY_LAUNCH_PLAN_PRUNE_H
#define HY_LAUNCH_PLAN_PRUNE_H

#include "layers/model.h"
#include "train/run/dry_run.h"

/* The dry run of the configuration without parallel.prune. Local. */
HY_MUST_CHECK hy_status hy_plan_unpruned(const hy_config *config, int ranks, int rank, hy_dry_run **out);

/* What parallel.prune leaves out of a stage's layers, its certified bound, and what a step so saves: `pruned` beside `all`. Local. */
HY_MUST_CHECK hy_status hy_plan_prune_print(const hy_model *model, const hy_run_shape *shape,
                                            const hy_dry_stage *pruned, const hy_dry_stage *all);

#endif
