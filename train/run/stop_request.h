/* The wish to stop early. SIGUSR1 and the time limit let the step at hand be finished. SIGINT and SIGTERM may be followed
 * by SIGKILL within a second (mpirun), so what is finished is saved inside the handler (stop_save.h); a second one kills at
 * once. Either way the run exits with 75. */
#ifndef HY_TRAIN_STOP_REQUEST_H
#define HY_TRAIN_STOP_REQUEST_H

#include <stdbool.h>

#include "base/status.h"

/* Installs the handlers; the clock of the time limit (seconds, 0 = none) starts. SIGINT and SIGTERM call `at_once` in the
 * thread that called this function, whichever thread the kernel chose. Handlers run on a stack of their own. */
hy_status hy_stop_request_begin(double time_limit, void (*at_once)(void));
void hy_stop_request_end(void);
/* A signal has come, or the time limit. */
bool hy_stop_requested(void);
/* A signal has come; one that does not wait for the step. */
bool hy_stop_signalled(void);
bool hy_stop_at_once(void);
/* "SIGTERM", "time limit"; "another rank" where this rank has no wish of its own. */
const char *hy_stop_reason(void);

#endif
