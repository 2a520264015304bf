/* The operations of a step one by one: what they have to do, how long they took, and how long a machine in words (machine.h) is taken to take. */
#ifndef HY_LAUNCH_BENCH_STEP_OPERATIONS_H
#define HY_LAUNCH_BENCH_STEP_OPERATIONS_H

#include "base/json.h"
#include "kernels/device.h"
#include "train/run/config.h"
#include "train/run/machine.h"

/* Seconds of this rank's calls. */
typedef struct hy_step_seconds {
    double before[HY_OP_COUNT]; /* the step that is timed now */
    double least[HY_OP_COUNT];  /* of the steps so far: each operation's own */
    int steps;
} hy_step_seconds;

void hy_step_seconds_begin(hy_step_seconds *seconds, hy_device *device);
void hy_step_seconds_end(hy_step_seconds *seconds, hy_device *device);

/* The mean of ranks. */
typedef struct hy_step_operation {
    double calls, flops, bytes; /* of one step: kernels/cost.h, from a dry run */
    double seconds, predicted;  /* least; of the machine */
} hy_step_operation;

typedef struct hy_step_operations {
    hy_step_operation ops[HY_OP_COUNT];
    bool predicted; /* there is a machine */
} hy_step_operations;

/* Steps of one sequence of `tokens` for each data group, in one micro-step. machine: NULL: none. Collective. */
HY_MUST_CHECK hy_status hy_step_operations_collect(const hy_step_seconds *seconds, const hy_config *config,
                                                   int64_t tokens, const hy_machine *machine, hy_comm *world,
                                                   hy_step_operations *out);
/* Those that a step has, the longest first. Both rank 0's. */
HY_MUST_CHECK hy_status hy_step_operations_print(const hy_step_operations *operations);
/* "operations": a list of objects. */
void hy_step_operations_write(const hy_step_operations *operations, hy_json *json);

#endif
