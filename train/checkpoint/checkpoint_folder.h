/* The folder of checkpoints: names, what is there, what goes. */
#ifndef HY_TRAIN_CHECKPOINT_FOLDER_H
#define HY_TRAIN_CHECKPOINT_FOLDER_H

#include "base/file.h"

/* folder/step-N<suffix>. HY_ERR_CHECKPOINT if too long. */
HY_MUST_CHECK hy_status hy_checkpoint_path(char path[HY_PATH_MAX], const char *folder, int64_t step,
                                           const char *suffix);
/* Steps of the finished checkpoints, newest first, into *steps (freed with hy_free). No folder: none. */
HY_MUST_CHECK hy_status hy_checkpoint_steps(const char *folder, int64_t **steps, int64_t *n);
/* The same for parts of stopped saves, step-N.stop (checkpoint_part.h). */
HY_MUST_CHECK hy_status hy_checkpoint_stopped_steps(const char *folder, int64_t **steps, int64_t *n);
/* Removes unfinished and stopped saves, and all checkpoints but the newest `keep` (0: none is removed). */
HY_MUST_CHECK hy_status hy_checkpoint_prune(const char *folder, int64_t keep);

#endif
