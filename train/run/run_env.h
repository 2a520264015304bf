/* env.json of a run folder: what the newest start of the run ran on (a JSON object, made by the program), how it ended, and the same of
 * every start before it under "earlier", oldest first. A start without "ended" was killed, or runs still. Rank 0 only. */
#ifndef HY_TRAIN_RUN_ENV_H
#define HY_TRAIN_RUN_ENV_H

#include <stdint.h>

#include "base/status.h"

/* `environment`: the object as text. What was there before moves to "earlier"; a damaged file is reported and replaced. */
HY_MUST_CHECK hy_status hy_run_env_begin(const char *path, const char *environment);
/* Adds "ended": {"time", "exit_code", "reason", "step"}. */
HY_MUST_CHECK hy_status hy_run_env_end(const char *path, int exit_code, const char *reason, int64_t step);

#endif
