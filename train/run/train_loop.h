#ifndef HY_TRAIN_TRAIN_LOOP_H
#define HY_TRAIN_TRAIN_LOOP_H

#include "comm/comm.h"
#include "train/run/config.h"
#include "train/run/config_change.h"

/* A whole run: resumes from the newest whole checkpoint in run.dir, or starts; trains to train.steps; saves, validates,
 * reports. A save that fails is reported and counted, and training goes on; only that of the last step is the run's
 * failure. HY_STOPPED after an early stop (signal, time limit): everything is saved, the same command goes on.
 * HY_ERR_NOT_FINITE after train.max_bad_steps steps in a row that were not finite. HY_ERR_USAGE where run.dir holds the
 * run of another configuration (config_change.h). Collective. */
HY_MUST_CHECK hy_status hy_train(const hy_config *config, hy_comm *world);
/* What else a caller may bring; all zero is hy_train. */
typedef struct hy_train_options {
    const char *environment; /* rank 0: what the run runs on, a JSON object, for env.json; NULL: no such file */
    const hy_allowed_changes *allowed; /* changes of the configuration to go on with; NULL: none */
} hy_train_options;
HY_MUST_CHECK hy_status hy_train_with(const hy_config *config, const hy_train_options *options, hy_comm *world);

#endif
