/* ${...} in run.dir, so that variants of one recipe have folders of their own. */
#ifndef HY_TRAIN_CONFIG_DIR_H
#define HY_TRAIN_CONFIG_DIR_H

#include "train/run/config.h"

/* Replaces, in run.dir of a config that is otherwise resolved, every ${key} by the key's value, and ${model.schedule} by the
 * mixers of the layers with their counts, in the order in which they first come: 18gla-6attention. Characters that do not belong into a
 * file's name become '-'. `origin` says in messages where run.dir was set. HY_ERR_USAGE with the nearest key. Local. */
HY_MUST_CHECK hy_status hy_config_expand_dir(hy_config *config, const char *origin);

#endif
