/* The shapes of a run on one rank; nobody but trainer*.c includes this. */
#ifndef HY_TRAIN_TRAINER_SHAPES_H
#define HY_TRAIN_TRAINER_SHAPES_H

#include "train/run/trainer.h"

/* A place in the mesh. */
typedef struct hy_place {
    int sequence_size, sequence_rank, groups, group;
} hy_place;

typedef struct hy_pass_shapes {
    hy_data_split split;
    hy_feed_shape feed;
    hy_run_shape run;
} hy_pass_shapes;

hy_pass_shapes hy_pass_shapes_of(const hy_config *config, const hy_stage *stage, const hy_place *at, hy_dtype dtype,
                                 bool train);

/* Tokens of this rank per micro-step. */
static inline int64_t hy_local_tokens(const hy_feed_shape *f) {
    return hy_layout_sizes_cut(f->layout, &f->cuts, f->sequence_size, f->sequence_rank, f->unit, f->len).T;
}

/* The model of a stage that changes it; *out NULL where the stage runs the run's. Local. */
HY_MUST_CHECK hy_status hy_stage_model_create(const hy_config *config, const hy_stage *stage, int shards,
                                              hy_model **out);

#endif
