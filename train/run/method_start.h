/* What a configuration leaves to `auto` (parallel.layout, .state, .attention), settled before anything else begins. */
#ifndef HY_TRAIN_METHOD_START_H
#define HY_TRAIN_METHOD_START_H

#include "train/run/config.h"

/* The open parts of config->parallel.method become what is taken (method_choice.h) on parallel.machine, the same on all ranks; a measured machine is kept
 * in the run's folder (machine.txt) and taken from there the next time the job has as many ranks. One rank takes the first ways.
 * Collective. */
HY_MUST_CHECK hy_status hy_method_start(hy_config *config, hy_comm *world);

#endif
