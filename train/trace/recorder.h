/* What a run does for its trace: spans of every step (base/span.h) are added up as it ends, those of the steps that trace.steps names are kept
 * whole, and each rank writes its file (trace_file.h) after them and in the end. A trace that cannot be written ends no run. */
#ifndef HY_TRAIN_RECORDER_H
#define HY_TRAIN_RECORDER_H

#include "comm/comm.h"
#include "kernels/device.h"
#include "train/run/config.h"

typedef struct hy_recorder hy_recorder;

/* NULL where trace.on is false. `mesh`: whose ranks they are. With an empty run.dir nothing is written. Collective. */
HY_MUST_CHECK hy_status hy_recorder_create(const hy_config *config, const hy_mesh *mesh, hy_device *device,
                                           hy_recorder **out);
/* Bytes that it takes all the time; steps that are kept whole take more. Pure. */
int64_t hy_recorder_bytes(const hy_config *config);
/* Stops recording. NULL allowed. */
void hy_recorder_destroy(hy_recorder *recorder);
/* Around a step; `recorder` may be NULL. Collective. */
void hy_recorder_step_begin(hy_recorder *recorder, int64_t step);
void hy_recorder_step_end(hy_recorder *recorder);
/* Writes what is there. Collective. */
void hy_recorder_finish(hy_recorder *recorder);

#endif
