#ifndef HY_LAUNCH_THREADS_H
#define HY_LAUNCH_THREADS_H

#include "base/thread_plan.h"
#include "comm/comm.h"

/* Looks at the ranks and cores of each host and gives OpenMP and BLAS of this process their threads (base/thread_plan.h). The first
 * rank of a host warns where something is wrong and `warn` is set. Collective. */
HY_MUST_CHECK hy_status hy_threads_begin(hy_comm *world, bool warn);
/* What it came to for this rank. */
const hy_thread_plan *hy_threads_plan(void);

#endif
