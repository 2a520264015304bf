/* Where the time went, as a table with the least, mean and greatest over ranks: operations by group, waits for
 * exchanges by name, and the parts of a run around them. */
#ifndef HY_TRAIN_PHASE_REPORT_H
#define HY_TRAIN_PHASE_REPORT_H

#include "comm/comm.h"
#include "kernels/device.h"

typedef struct hy_phase_seconds {
    double total, read, checkpoint, validation; /* wall time of this rank */
} hy_phase_seconds;

/* Prints on rank 0 from the device's times and the exchange records of this run. Collective. */
HY_MUST_CHECK hy_status hy_phase_report(hy_comm *world, hy_device *device, const hy_phase_seconds *seconds);

#endif
