/* The actions of `hylas data`, one file each: launch/data_<action>.c. Collective, like commands; rank 0 works. */
#ifndef HY_LAUNCH_DATA_ACTIONS_H
#define HY_LAUNCH_DATA_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"

/* X(name, usage, what it does) */
#define HY_DATA_ACTIONS(X)                                                                                             \
    X(text, "PATHS... --out FILE", "make a token store from files")                                                    \
    X(recall, "--task TASK --out FILE", "make one that asks for facts of its context")                                 \
    X(info, "FILE", "verify a store and say what it holds")

#define HY_X(name, usage, about) HY_MUST_CHECK hy_status hy_data_##name(int argc, char **argv, hy_comm *world);
HY_DATA_ACTIONS(HY_X)
#undef HY_X

/* Whether unit `i` (a file, a sequence) goes to the store held out: one of each 50, the second of them, so that two
 * units make two stores. */
static inline bool hy_data_holds(int64_t i) {
    return i % 50 == 1;
}

#endif
