/* Nothing hangs for ever: a thread of its own looks at what its rank is doing (presence.h), and where that waits in one exchange for longer
 * than a limit, asks all ranks over sockets of its own (side_channel.h) where they are. The log then names the rank and the host that did not
 * arrive and what it does instead, and the whole job ends with exit code 8. A rank that dies is named at once by its neighbours.
 * Nothing of this goes through what carries the exchanges, which may be what is stuck.
 *
 * Time in which the process did not run (a suspended job) is no waiting. */
#ifndef HY_COMM_WATCHDOG_H
#define HY_COMM_WATCHDOG_H

#include "comm/comm.h"

typedef struct hy_watchdog_settings {
    double timeout; /* seconds in one exchange after which the job ends; 0: no watchdog */
    double
        slow; /* share of a while, a quarter of the timeout and a minute at most, for which the other ranks waited for one rank:
                     * beyond it rank 0 warns of that rank; 0: never */
} hy_watchdog_settings;

/* One at a time in a process. With one rank it does nothing. Collective. */
HY_MUST_CHECK hy_status hy_watchdog_begin(hy_comm *world, const hy_watchdog_settings *settings);
/* Local: neighbours are told that this rank has not died. */
void hy_watchdog_end(void);
/* The process ends at once, and means to: neighbours are told, and nothing else is done. From any thread. */
void hy_watchdog_leave(void);

#endif
