/* One optimizer step: read, forward and backward of every micro-step, reduce, clip, update. */
#ifndef HY_TRAIN_TRAIN_STEP_H
#define HY_TRAIN_TRAIN_STEP_H

#include "train/run/trainer.h"

/* Why a step changed neither parameters nor optimizer. */
typedef enum hy_step_skip {
    HY_STEP_TAKEN,
    HY_STEP_NOT_FINITE, /* loss or gradient */
    HY_STEP_NO_TARGETS  /* nothing to learn from: loss and norm are NaN; not computed, but for train.carry_state */
} hy_step_skip;

typedef struct hy_step_result {
    double loss; /* mean over the valid targets of all ranks */
    double grad_norm, lr;
    int64_t valid, tokens; /* of all ranks */
    int64_t tokens_so_far; /* of the run, with this step */
    double flops;          /* model FLOPs of all ranks, forward and backward */
    hy_step_skip skipped;
    bool stop;           /* some rank wants to stop: the step was not taken, and nothing else is set */
    double read_seconds; /* without the exchange of counts */
    double compute_seconds, update_seconds;
} hy_step_result;

/* Step number `step` (from 1) of its stage's shape, on the data after those of trainer->data, as update number `update` of AdamW
 * (from 1). The data count as read once the step is done. `stop`: this rank's wish that it not be taken. HY_ERR_DATA if a
 * rank cannot read. Collective. */
HY_MUST_CHECK hy_status hy_train_step(hy_trainer *trainer, int64_t step, int64_t update, bool stop,
                                      hy_step_result *out);

#endif
