/* Clocks of ranks beside each other. Rank 0 asks every other rank for its time; the answer was written at a moment between asking and receiving, so
 * the middle of these is off by half the way at most. The shortest of many ways is believed, and half of it is the error.
 * (Cristian, "Probabilistic clock synchronization", 1989.) Between two such measurements the clocks drift in a line. */
#ifndef HY_TRAIN_CLOCK_ALIGN_H
#define HY_TRAIN_CLOCK_ALIGN_H

#include "comm/comm.h"
#include "train/trace/trace_file.h"

/* What this rank's clock is ahead of rank 0's, now. Collective. */
hy_clock_point hy_clock_align(hy_comm *world);
/* `time` of a clock that was measured at points[n], in order, as rank 0's clock has it; outside of them as at the nearest. */
double hy_clock_common(const hy_clock_point *points, int64_t n, double time);

#endif
