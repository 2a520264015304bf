/* Which threads hear signals: the one that runs the program, and no other. A thread begins with the mask of the one that
 * starts it, so whoever starts threads holds signals meanwhile. */
#ifndef HY_BASE_SIGNALS_H
#define HY_BASE_SIGNALS_H

#include <signal.h>

/* All signals but the faults of the thread itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS) wait until the release, which
 * puts back what was held before. */
void hy_signals_hold(sigset_t *before);
void hy_signals_release(const sigset_t *before);

#endif
