/* The machine that a job runs on, measured in a second or two: what `auto` simulates on. All ranks measure at once, as they will compute at
 * once; the slowest counts.
 *
 * Rates of operations are those of a layer of every mixer, forward and backward, alone on 2,048 tokens (data.sequence where that is less) and on an eighth
 * of them, so that they go with the work of a call: FLOPs and bytes of a dry
 * run (kernels/cost.h) over the seconds of the device's own counts. Latencies and bandwidths are those of messages between pairs of
 * ranks, all pairs at once: neighbours in a node, and ranks of different nodes. */
#ifndef HY_TRAIN_CALIBRATE_H
#define HY_TRAIN_CALIBRATE_H

#include "train/run/config.h"
#include "train/run/machine.h"

/* node: ranks of one (methods.h). The same on all ranks. Collective. */
HY_MUST_CHECK hy_status hy_machine_measure(const hy_config *config, hy_comm *world, int node, hy_machine *out);

/* Calls of one kind of operation, together. */
typedef struct hy_timed_calls {
    double work;     /* FLOPs; of memory, bytes */
    double work_log; /* sum of a call's work times its logarithm */
    double seconds;
} hy_timed_calls;

/* The kind's rates in *machine, from the same calls with little work each and with much: each measurement's rate counts as that of a call of the mean
 * size, in logarithms, every FLOP weighing the same, which is exact for seconds that are about in proportion to work. `little` without work or
 * time: one rate for all. `much` has both. */
void hy_machine_fit(hy_rate rate, const hy_timed_calls *little, const hy_timed_calls *much, hy_machine *machine);

/* The machine in words that hy_machine_parse reads. */
void hy_machine_write(const hy_machine *machine, char *text, size_t size);

#endif
