/* A device that is no faster than it is said to be: "paced:cpu" does what "cpu" does, and each call takes at least the time that its cost (cost.h) says at
 * the pace HYLAS_PACE=FLOPS,BYTES: so many operations and so many bytes of memory per second, the slower counts. What a call has
 * left of its time it sleeps. So ranks that share a processor, and each need a part of it only, take as long as on processors of their own; results
 * are those of the other device. For measurements of what exchanges add to computing. */
#ifndef HY_KERNELS_PACED_H
#define HY_KERNELS_PACED_H

#include "kernels/device_internal.h"

/* Entries of the kind. open: HY_ERR_USAGE for a pace that is none. */
HY_MUST_CHECK hy_status hy_paced_open(hy_device *device);
void hy_paced_close(hy_device *device);
void hy_paced_launch(hy_device *device, hy_op_id op, const void *args, size_t bytes);

#endif
