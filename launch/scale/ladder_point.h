/* A point of a ladder: the configuration of its run, what the run takes, and what came out of it. */
#ifndef HY_LAUNCH_SCALE_LADDER_POINT_H
#define HY_LAUNCH_SCALE_LADDER_POINT_H

#include "comm/comm.h"
#include "launch/scale/ladder_grid.h"

typedef struct hy_ladder_source {
    const char *config; /* path */
    const hy_option_list *sets;
    double tokens_per_parameter; /* 0: train.steps as it is configured */
} hy_ladder_source;

typedef struct hy_ladder_point {
    double parameters, bare; /* bare: without embedding and head */
    double steps, tokens, flops, loss;
    bool validated; /* whose loss it is: of validation, else of training */
} hy_ladder_point;

/* The configuration of point `i`, with its steps and a run.dir of its own inside that of the file; all of *point but the loss. The caller frees
 * *config. HY_ERR_USAGE. Collective. */
HY_MUST_CHECK hy_status hy_ladder_point_plan(const hy_ladder_source *source, const hy_ladder_grid *grid, int i,
                                             hy_comm *world, hy_config **config, hy_ladder_point *point);

/* That the run, if it has begun, was begun with the same precision and validation: others are free where a run goes on, and its loss would be of
 * something else. HY_ERR_USAGE. Rank 0's, before it is trained. */
HY_MUST_CHECK hy_status hy_ladder_point_begin(const hy_config *config);

/* The loss of a run that has done all its steps: of validation after the last one, the mean of stores by weight, or without one the mean of the
 * last ten steps. HY_ERR_DATA where metrics.jsonl has none. Local. */
HY_MUST_CHECK hy_status hy_ladder_point_read(const hy_config *config, hy_ladder_point *point);

#endif
