#ifndef HY_LAUNCH_ENVIRONMENT_H
#define HY_LAUNCH_ENVIRONMENT_H

#include "comm/comm.h"
#include "train/run/config.h"

/* What this start of a command runs on, as a JSON object for env.json: when, command line, version, build, libraries, device and precision,
 * hosts, cores, threads.
 * On rank 0 *text is to be freed with free(); elsewhere NULL. Collective. */
HY_MUST_CHECK hy_status hy_environment_describe(int argc, char **argv, const hy_config *config, hy_comm *world,
                                                char **text);

#endif
