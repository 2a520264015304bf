#ifndef HY_TRAIN_TRAIN_LOOP_H
#define HY_TRAIN_TRAIN_LOOP_H

#include "comm/comm.h"
#include "train/run/config.h"
#include "train/run/config_change.h"

/* A whole run: resumes from the newest whole checkpoint in run.dir, or starts; trains to train.steps; saves, validates,
 * reports. A save that fails is reported and counted, and training goes on; only that of the last step is the run's
 * failure. HY_STOPPED after an early stop (signal, time limit): everything is saved, the same command goes on.
 * HY_ERR_NOT_FINITE after train.max_bad_steps skipped steps in a row. HY_ERR_USAGE where run.dir holds the run of another
 * configuration (config_change.h). Collective. */
HY_MUST_CHECK hy_status hy_train(const hy_config *config, hy_comm *world);
/* The same, going on with the changes that the user allows (NULL: none). */
HY_MUST_CHECK hy_status hy_train_allowing(const hy_config *config, const hy_allowed_changes *allowed, hy_comm *world);

#endif
