/* A step of a run of many ranks, simulated: every rank's dry run (dry_run.h), replayed on a machine (comm/schedule_replay.h). So what
 * is simulated is what the program does: its operations, its messages, their order.
 *
 * Documents are one per sequence. A step has one micro-step. Calls are whole unless exchanges need them in pieces to go on (calls_progress). */
#ifndef HY_TRAIN_SIMULATE_H
#define HY_TRAIN_SIMULATE_H

#include "train/run/config.h"
#include "train/run/machine.h"

typedef struct hy_simulation {
    double tokens; /* of the step, all ranks */
    double memory; /* bytes of the first rank */
    hy_replay *replay;
} hy_simulation;

/* HY_ERR_USAGE for a mesh that does not fit. The ranks of `world`, which need not be as many as are simulated, share
 * the dry runs, its first rank replays them, and *out is there; the others have no replay. Collective over `world`. */
HY_MUST_CHECK hy_status hy_simulate(const hy_config *config, int stage, int ranks, const hy_machine *machine,
                                    hy_comm *world, hy_simulation *out);
void hy_simulation_clear(hy_simulation *simulation);

#endif
