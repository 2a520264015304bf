/* A ladder of model sizes, trained one after the other on the ranks of this job, and loss against compute fitted through them
 * (power_law.h). */
#ifndef HY_LAUNCH_SCALE_LADDER_H
#define HY_LAUNCH_SCALE_LADDER_H

#include "comm/comm.h"
#include "launch/scale/ladder_point.h"

typedef struct hy_ladder_options {
    hy_ladder_source source;
    const hy_option_list *sizes, *vary; /* ladder_grid.h */
    const char *csv, *plot;             /* NULL: none */
    int argc;
    char **argv; /* of the command, for env.json */
} hy_ladder_options;

/* Trains what is neither in the CSV file nor finished in its run.dir, adds a row for each, prints points and curves, draws them. HY_STOPPED when a
 * training was stopped: the same command goes on with it. Collective. */
HY_MUST_CHECK hy_status hy_ladder_run(const hy_ladder_options *options, hy_comm *world);

#endif
