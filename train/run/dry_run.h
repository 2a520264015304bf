/* A run of one rank without data, other ranks or computing: the trainer, its steps and its validation are the real ones, on a dry
 * device (kernels/dry.h), communicators that only count, and stores of zeros. What `hylas plan` and the table at start say comes from
 * here.
 *
 * Documents are one per sequence. Micro-steps are alike, so one is executed and counts for all; likewise the calls of a validation. */
#ifndef HY_TRAIN_DRY_RUN_H
#define HY_TRAIN_DRY_RUN_H

#include "comm/schedule.h"
#include "layers/graph/plan.h"
#include "train/run/config.h"

/* In one direction, in one step. */
typedef struct hy_dry_side {
    int64_t launches, messages, sent; /* operations; exchanges but receives; bytes that leave this rank */
    double flops, moved;              /* of operations: kernels/cost.h */
} hy_dry_side;

typedef struct hy_dry_layer {
    hy_dry_side fwd, bwd; /* recomputation belongs to backward */
} hy_dry_layer;

typedef struct hy_dry_stage {
    hy_dry_layer *layers;             /* [n_layers] */
    hy_dry_layer ends;                /* embedding, head and loss */
    hy_dry_side rest;                 /* outside of the model: counts, gradients, optimizer, parameters */
    hy_exchange_log step, validation; /* names, counts and bytes of one step, of one validation of all its stores */
    int64_t synchronisations;         /* of one micro-step's step: the host stopped for the device */
    int64_t to_host, from_host;       /* bytes of a step that are offloaded, and fetched again */
} hy_dry_stage;

#define HY_PLANNED_SPANS "spans of steps" /* entry of a plan's memory: recorder.h */

typedef struct hy_dry_run {
    hy_plan memory;                      /* at the end of the start */
    hy_run_bytes activations, on_device; /* of the stage with most; as it would be without train.offload */
    int64_t n_layers;
    int n_stages;
    hy_dry_stage *stages;
} hy_dry_run;

/* `rank` of `ranks`. whole: calls of any size suit (kernels/device.h, hy_tuning), else run.device's tuning. One step of each
 * stage, and a validation where there are stores for it. HY_ERR_USAGE for a mesh that does not fit. Local. */
HY_MUST_CHECK hy_status hy_dry_run_create(const hy_config *config, int ranks, int rank, bool whole, hy_dry_run **out);
void hy_dry_run_destroy(hy_dry_run *run); /* NULL allowed */

/* What `rank` does in two steps of one micro-step of a stage, in the order of time: what schedule_replay.h plays. The mark is between them, so that the
 * second counts, which takes up what the first left under way (parameters). Places: HY_PLACE_REST outside of the
 * model, HY_PLACE_BLOCKS + 2·block of a forward, one more of a backward; block l + 1 is layer l, block 0 embedding, head and loss. The schedule is clear; whole: as above.
 * *memory, unless NULL: bytes of the rank at the end of its start. HY_ERR_USAGE for a mesh that does not fit. Local. */
enum { HY_PLACE_REST = 0, HY_PLACE_BLOCKS = 2 };
HY_MUST_CHECK hy_status hy_dry_run_schedule(const hy_config *config, int stage, int ranks, int rank, bool whole,
                                            hy_schedule *schedule, double *memory);

#endif
