/* The wish to stop early: SIGTERM, SIGINT, SIGUSR1, or the time limit. The present step is finished, a checkpoint
 * saved, and the run exits with 75. A second SIGINT or SIGTERM kills at once. */
#ifndef HY_TRAIN_STOP_REQUEST_H
#define HY_TRAIN_STOP_REQUEST_H

#include <stdbool.h>

/* Installs the handlers; the clock of the time limit (seconds, 0 = none) starts. */
void hy_stop_request_begin(double time_limit);
void hy_stop_request_end(void);
bool hy_stop_requested(void);
/* "SIGTERM", "time limit"; "another rank" where this rank has no wish of its own. */
const char *hy_stop_reason(void);

#endif
