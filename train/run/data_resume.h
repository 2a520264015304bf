#ifndef HY_TRAIN_DATA_RESUME_H
#define HY_TRAIN_DATA_RESUME_H

#include "train/checkpoint/manifest.h"
#include "train/run/trainer.h"

/* Takes up the data where the checkpoint left them. One written before checkpoints recorded what was read had read
 * step · data.batch sequences of data.sequence tokens, by its own configuration. HY_ERR_USAGE if that does not parse.
 * Local; the same on all ranks. */
HY_MUST_CHECK hy_status hy_data_resume(const hy_manifest *manifest, hy_trainer *trainer);

#endif
