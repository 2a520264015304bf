/* The machine that a job runs on, measured in about a second: what `auto` simulates on. All ranks measure at once, as they will compute at
 * once; the slowest counts.
 *
 * Rates of operations are those of a layer of every mixer, forward and backward, on one rank's share of the tokens: FLOPs and bytes of a dry
 * run (kernels/cost.h) over the seconds of the device's own counts. Latencies and bandwidths are those of messages between pairs of
 * ranks, all pairs at once: neighbours in a node, and ranks of different nodes. */
#ifndef HY_TRAIN_CALIBRATE_H
#define HY_TRAIN_CALIBRATE_H

#include "train/run/config.h"
#include "train/run/machine.h"

/* node: ranks of one (methods.h). The same on all ranks. Collective. */
HY_MUST_CHECK hy_status hy_machine_measure(const hy_config *config, hy_comm *world, int node, hy_machine *out);

/* The machine in words that hy_machine_parse reads. */
void hy_machine_write(const hy_machine *machine, char *text, size_t size);

#endif
