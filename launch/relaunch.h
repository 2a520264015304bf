#ifndef HY_LAUNCH_RELAUNCH_H
#define HY_LAUNCH_RELAUNCH_H

#include "base/status.h"

/* Replaces this process, which must not have been launched by mpirun, by `mpirun -np ranks hylas argv...` with the settings that a
 * root user and a machine of fewer cores than ranks need. Returns only on failure: HY_ERR_ENV. */
HY_MUST_CHECK hy_status hy_relaunch(int ranks, int argc, char **argv);

#endif
