/* Lanes of an asynchronous device on the host: a thread and a queue each. What a call needs is copied when it is given; threads run it
 * later, in the lane's order, after random delays, so that whoever relies on more order than marks give gets wrong numbers.
 *
 * HYLAS_ASYNC_SEED (default 1) draws the delays. HYLAS_ASYNC_DROP=n is a test hook: the n-th mark that is taken
 * of a device, or wait for a signal that it is given, is lost, which a test must notice.
 *
 * One thread, the host, gives; only hy_lanes_wait waits, unless a queue is full. */
#ifndef HY_KERNELS_LANES_H
#define HY_KERNELS_LANES_H

#include <stdbool.h>

#include "kernels/device.h"

typedef struct hy_lanes hy_lanes;

/* Operations are those of `table`; their seconds go to `counts`. Both are borrowed. */
HY_MUST_CHECK hy_status hy_lanes_create(const hy_table *table, hy_op_counts *counts, hy_lanes **out);
/* That it takes. */
size_t hy_lanes_bytes(void);
/* Waits for all that was given. NULL allowed. */
void hy_lanes_destroy(hy_lanes *lanes);

void hy_lanes_operation(hy_lanes *lanes, hy_op_id op, const void *args, size_t bytes);
/* from NULL: zeros. */
void hy_lanes_copy(hy_lanes *lanes, hy_lane lane, void *to, const void *from, size_t bytes);
/* Calls of others in the lane's order: of libraries that are given it as a stream. */
hy_stream *hy_lanes_stream(hy_lanes *lanes, hy_lane lane);
hy_mark hy_lanes_mark(hy_lanes *lanes, hy_lane lane);
void hy_lanes_after(hy_lanes *lanes, hy_lane lane, hy_mark mark);
void hy_lanes_after_signal(hy_lanes *lanes, hy_lane lane, const hy_signal *signal, uint64_t value);
void hy_lanes_signal(hy_lanes *lanes, hy_signal *signal, uint64_t value);
bool hy_lanes_reached(hy_lanes *lanes, hy_mark mark);
void hy_lanes_wait(hy_lanes *lanes, hy_mark mark);
void hy_lanes_set_idle(hy_lanes *lanes, hy_idle idle);

#endif
