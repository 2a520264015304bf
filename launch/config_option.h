#ifndef HY_LAUNCH_CONFIG_OPTION_H
#define HY_LAUNCH_CONFIG_OPTION_H

#include "comm/comm.h"
#include "launch/options.h"
#include "train/run/config.h"

/* The config at `path` with `sets` applied, on every rank; an error is shown once. The caller frees *config.
 * Collective. */
HY_MUST_CHECK hy_status hy_config_load_on_all(hy_comm *world, const char *path, const hy_option_list *sets,
                                              hy_config **config);
/* The same, and where each key was set. */
HY_MUST_CHECK hy_status hy_config_load_on_all_with_origins(hy_comm *world, const char *path, const hy_option_list *sets,
                                                           hy_config **config, hy_schema_origins **origins);

#endif
