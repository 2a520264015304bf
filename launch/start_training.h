/* What `hylas train` does once it has a configuration; also a training of `hylas scale --sizes`. */
#ifndef HY_LAUNCH_START_TRAINING_H
#define HY_LAUNCH_START_TRAINING_H

#include "comm/comm.h"
#include "train/run/config.h"
#include "train/run/config_change.h"

typedef struct hy_training_start {
    int argc;
    char **argv;                       /* of the command, for env.json */
    const char *name;                  /* of the configuration, for log.txt */
    const hy_allowed_changes *allowed; /* NULL: none */
} hy_training_start;

/* As hy_train_with (train/run/train_loop.h); what `config` leaves to `auto` is settled in it first. Collective. */
HY_MUST_CHECK hy_status hy_training_run(const hy_training_start *start, hy_config *config, hy_comm *world);

#endif
