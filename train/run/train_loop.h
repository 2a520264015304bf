#ifndef HY_TRAIN_TRAIN_LOOP_H
#define HY_TRAIN_TRAIN_LOOP_H

#include "comm/comm.h"
#include "train/run/config.h"

/* A whole run: resumes from the newest whole checkpoint in run.dir, or starts; trains to train.steps; saves, validates,
 * reports. A save that fails is reported and counted, and training goes on; only that of the last step is the run's
 * failure. HY_STOPPED after an early stop (signal, time limit): everything is saved, the same command goes on.
 * HY_ERR_NOT_FINITE after train.max_bad_steps steps in a row that were not finite. Collective. */
HY_MUST_CHECK hy_status hy_train(const hy_config *config, hy_comm *world);

#endif
