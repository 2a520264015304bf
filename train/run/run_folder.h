/* The run folder: config.yaml (as resolved), metrics.jsonl, peak.json, log.txt, env.json, checkpoints/, and a lock so that two jobs never
 * write one folder. */
#ifndef HY_TRAIN_RUN_FOLDER_H
#define HY_TRAIN_RUN_FOLDER_H

#include "base/file.h"

typedef struct hy_run_folder {
    char checkpoints[HY_PATH_MAX], metrics[HY_PATH_MAX], peak[HY_PATH_MAX], log[HY_PATH_MAX], env[HY_PATH_MAX];
    int lock; /* descriptor; −1: none */
} hy_run_folder;

/* Fills in the paths. Local. */
HY_MUST_CHECK hy_status hy_run_folder_init(const char *dir, hy_run_folder *folder);
/* Creates and locks the folder, starts the log file. Rank 0 only. */
HY_MUST_CHECK hy_status hy_run_folder_begin(const char *dir, hy_run_folder *folder);
HY_MUST_CHECK hy_status hy_run_folder_write_config(const char *dir, const char *config, size_t length);
/* Every rank: the log closes. */
void hy_run_folder_end(hy_run_folder *folder);

#endif
