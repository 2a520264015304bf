/* How far the clocks of ranks are apart: those that logs and file times go by. */
#ifndef HY_LAUNCH_CLOCK_SKEW_H
#define HY_LAUNCH_CLOCK_SKEW_H

#include "comm/comm.h"

typedef struct hy_clock_skew {
    double ahead; /* seconds by which the rank's clock is ahead of rank 0's, to within half of the round trip */
    double round_trip;
} hy_clock_skew;

/* Rank 0 learns it of every rank with `asked` set, which all ranks must know alike; others of `skews` [size] stay as they are. By the
 * quickest of some messages there and back. Collective. */
void hy_clock_skew_measure(hy_comm *world, const bool *asked, hy_clock_skew *skews);

#endif
