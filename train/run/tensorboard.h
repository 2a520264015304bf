/* Scalars as TensorBoard reads them: a file events.out.tfevents.* of records
 *
 *     uint64 length, uint32 check(length), length bytes of a protobuf message Event, uint32 check(bytes)
 *
 * little-endian, check(x) = rotated CRC-32C of x plus a constant. Of Event and the messages in it only what scalars need
 * is written:
 *
 *     Event       1: double wall_time  2: int64 step  3: string file_version  5: Summary  7: SessionLog
 *     Summary     repeated 1: Value (1: string tag  2: float simple_value)
 *     SessionLog  1: status (START = 1) */
#ifndef HY_TRAIN_TENSORBOARD_H
#define HY_TRAIN_TENSORBOARD_H

#include <stdint.h>

#include "base/status.h"

typedef struct hy_tensorboard hy_tensorboard;

typedef struct hy_scalar {
    const char *tag;
    double value;
} hy_scalar;

enum { HY_SCALARS_MAX = 16, HY_TAG_MAX = 160 }; /* scalars of one step; bytes of a tag that count */

/* A new file in `dir` for a run that goes on after step `last_step`. It begins with the mark of a session, at which
 * readers forget what earlier files have of later steps. Local. */
HY_MUST_CHECK hy_status hy_tensorboard_open(const char *dir, int64_t last_step, hy_tensorboard **out);
void hy_tensorboard_close(hy_tensorboard *board);
/* All scalars of a step, on disk (as far as the system is concerned) on return. What a full disk has taken of a record is
 * cut off again. */
HY_MUST_CHECK hy_status hy_tensorboard_add(hy_tensorboard *board, int64_t step, const hy_scalar *scalars, int n);

#endif
