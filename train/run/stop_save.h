/* SIGINT, SIGTERM in the middle of a step: nothing that is finished is lost.
 *
 * A launcher that is told to end kills its ranks about a second after it has told them, and a rank may be in an operation
 * that takes longer, or wait for a rank that is. So the handler itself forks: the child shares the memory of that moment,
 * leaves the launcher's process group (its SIGKILL is for that group) and writes the rank's own shards of parameters
 * and moments, which forward and backward do not change (checkpoint_part.h). No exchange is needed. While the own
 * shards are being updated, a few milliseconds without any waiting, the signal is kept until they are those of the next step.
 *
 * On an asynchronous device the update is done when the device says so, which the run sees while it waits or between two operations; until then
 * the signal is kept as well. A child sees the memory of devices that are the host. Where it does not (a GPU's) the handler leaves it at that: from
 * where the run waits or is between two operations the shards are brought to the host's memory, piece by piece on the COPY lane beside what
 * computes, then the child is made, which writes those. An update waits until they are there.
 *
 * No rank leaves on its own: a rank that got the signal alone goes on, and all stop together after the step. Rank 0 looks for the
 * parts of all ranks; when they are there, it ends the job (75). If it is killed before, nothing is lost either: the
 * next start makes the checkpoint of them.
 *
 * If ranks were killed while one had finished step N and another had not, there is no common step: the last checkpoint stays. */
#ifndef HY_TRAIN_STOP_SAVE_H
#define HY_TRAIN_STOP_SAVE_H

#include "train/checkpoint/checkpoint.h"

/* Before hy_stop_request_begin. `folder`: of checkpoints; `log`: the file where the announcement goes besides stderr;
 * `leave` is called on rank 0, between two operations or while it waits, once everything that is finished is saved: it ends the
 * job. One at a time in a process. Local. */
HY_MUST_CHECK hy_status hy_stop_save_begin(const hy_checkpoint_source *source, const char *folder, const char *log,
                                           void (*leave)(void *context), void *context);
/* Ends what is still being written: newer is on the disk. */
void hy_stop_save_end(void);

/* The parameters and moments are those of `now`; the next hy_stop_save_changed makes them those of `next`. saved_step: the
 * newest one that needs no saving. */
void hy_stop_save_state(const hy_progress *now, const hy_progress *next, int64_t saved_step);
/* Around the update of own shards. Without hy_stop_save_begin they do nothing. */
void hy_stop_save_changing(void);
void hy_stop_save_changed(void);

/* For hy_stop_request_begin. */
void hy_stop_save_at_once(void);

#endif
