/* What a run trains and what that takes: tokens and FLOPs of the model. */
#ifndef HY_TRAIN_RUN_WORK_H
#define HY_TRAIN_RUN_WORK_H

#include "layers/model.h"
#include "train/run/stage.h"

typedef struct hy_run_work {
    double tokens, flops;
} hy_run_work;

/* Of one step of a stage, all ranks: FLOPs forward once and backward twice that, for sequences of one document each; recomputation does not count. */
hy_run_work hy_step_work(const hy_model *model, const hy_stage *stage);
/* Of all steps of all stages. */
hy_run_work hy_run_work_of(const hy_config *config, const hy_model *model);

#endif
