#ifndef HY_LAUNCH_REPORT_ONCE_H
#define HY_LAUNCH_REPORT_ONCE_H

#include "base/status.h"
#include "comm/comm.h"

/* Runs a local check that usually fails on all ranks alike (command line, config) and shows its message once: rank 0's,
 * and those of other ranks only where rank 0 succeeds. `check` may run twice. All ranks leave with HY_OK or all with an
 * error. Collective. */
HY_MUST_CHECK hy_status hy_report_once(hy_comm *world, hy_status (*check)(void *context), void *context);

#endif
