/* What a run of train_loop.h holds, and its start (train_start.c). For these two files alone. */
#ifndef HY_TRAIN_TRAIN_LOOP_INTERNAL_H
#define HY_TRAIN_TRAIN_LOOP_INTERNAL_H

#include "train/checkpoint/checkpoint.h"
#include "train/run/console.h"
#include "train/run/dry_run.h"
#include "train/run/metrics.h"
#include "train/run/phase_report.h"
#include "train/run/run_folder.h"
#include "train/run/train_loop.h"
#include "train/run/trainer.h"
#include "train/trace/recorder.h"

typedef struct hy_loop {
    const hy_config *config;
    hy_config *placed; /* `config` with what the machines say; NULL: nothing was left open */
    hy_comm *world;
    bool first_rank, env_begun;
    const hy_train_options *options;
    char *config_text, *stores; /* `stores`: rank 0 */
    size_t config_length;
    hy_run_folder folder;
    hy_trainer *trainer;
    hy_recorder *recorder; /* NULL: none */
    hy_metrics *metrics;   /* rank 0 */
    hy_console console;
    double peak;         /* rank 0: FLOP/s of matrix products on all hosts */
    hy_dry_run *planned; /* rank 0: what memory and exchanges were planned before any was reserved */
    hy_progress progress;
    int64_t first_step, saved_step; /* where this run began; of the newest checkpoint, −1: none */
    int64_t failed_saves, failed_metrics;
    bool stopped, owes_validation;
    int64_t n_attachments;
    hy_attachment attachments[HY_ATTACHMENTS_MAX]; /* of the checkpoint begun from: handed on to every save */
    hy_phase_seconds seconds;
} hy_loop;

static inline bool hy_is_due(int64_t every, int64_t step) {
    return every > 0 && step % every == 0;
}

/* Until the newest checkpoint is looked for: what needs none is checked, and the folder is there. Collective. */
HY_MUST_CHECK hy_status hy_loop_begin(hy_loop *l);
/* Until the first step: checks that the run is the checkpoint's (NULL: a new run), then builds and fills the trainer and
 * opens the reports; without a trainer there is nothing left to do. Collective. */
HY_MUST_CHECK hy_status hy_loop_prepare(hy_loop *l, hy_checkpoint *checkpoint);

#endif
