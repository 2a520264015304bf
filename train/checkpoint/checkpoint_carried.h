/* The part of a checkpoint that holds what sequences carry from step to step (train.carry_state): one file per data group, written by the
 * rank that has it, on the disk by places of the batch and so for any number of groups and micro-steps.
 *
 *     checkpoints/step-200/carried-00000.h5   head [3]: first place, places, bytes of each; values [places · bytes]
 */
#ifndef HY_TRAIN_CHECKPOINT_CARRIED_H
#define HY_TRAIN_CHECKPOINT_CARRIED_H

#include "base/file.h"
#include "layers/model.h"
#include "train/checkpoint/manifest.h"

/* What one rank holds, block by block (hy_runner_carried_take). values NULL: this rank holds none. */
typedef struct hy_carried_values {
    const hy_runner *runner;
    hy_device *device;
    char *values;         /* blocks of hy_runner_carried_bytes, in the device's memory */
    int64_t first, count; /* places of the batch */
    int64_t unit;         /* places of a block */
} hy_carried_values;

/* Writes folder/carried-RANK.h5, synced; *info: its name and hashes. Local. */
HY_MUST_CHECK hy_status hy_carried_write(const hy_carried_values *carried, const char *folder, int rank,
                                         hy_manifest_file *info);

/* Reads the places of `carried` from the checkpoint's files; *found: all of them were there. HY_ERR_CHECKPOINT. Local. */
HY_MUST_CHECK hy_status hy_carried_read(const char *path, const hy_manifest *manifest, const hy_carried_values *carried,
                                        bool *found);

#endif
