/* The points of a scaling study: every combination of what `--vary` lists, for every number of ranks. */
#ifndef HY_LAUNCH_SCALE_GRID_H
#define HY_LAUNCH_SCALE_GRID_H

#include "launch/options.h"
#include "train/run/config.h"

enum { HY_VARIED_MAX = 8, HY_VARIED_VALUES = 32, HY_VARIED_TEXT = 512, HY_SCALE_RANKS = 64, HY_POINT_TEXT = 2048 };

typedef struct hy_varied {
    char text[HY_VARIED_TEXT]; /* that `key` and `values` point into */
    const char *key, *values[HY_VARIED_VALUES];
    int n;
} hy_varied;

typedef struct hy_scale_grid {
    const char *config; /* path */
    const hy_option_list *sets;
    hy_varied varied[HY_VARIED_MAX];
    int n_varied, n_ranks;
    int64_t ranks[HY_SCALE_RANKS]; /* ascending */
    int64_t per_rank; /* tokens of a rank: the sequence grows with the ranks that share it; 0: it does not */
} hy_scale_grid;

typedef struct hy_scale_point {
    int ranks;
    const char *values[HY_VARIED_MAX]; /* of the varied keys */
    hy_config *config;                 /* with all that set */
} hy_scale_point;

/* What a step of a point took. */
typedef struct hy_scale_row {
    double tokens, seconds, exposed, sent; /* exposed: share of the ranks' time; sent: bytes of a rank, the mean */
    double memory;                         /* bytes of a rank: the first; really run, the mean */
} hy_scale_row;

/* "KEY=VALUE,VALUE,..."; `option` is what messages call it. HY_ERR_USAGE. */
HY_MUST_CHECK hy_status hy_varied_parse(const char *option, const char *text, hy_varied *v);
/* "8,16,32Ki" and "KEY=VALUE,VALUE,..." of each. HY_ERR_USAGE. */
HY_MUST_CHECK hy_status hy_scale_grid_parse(const char *ranks, const hy_option_list *vary, hy_scale_grid *grid);
/* Points of the grid; those of one combination follow one another. */
int64_t hy_scale_points(const hy_scale_grid *grid);
/* Point `i`; point->config is the caller's memory, written. HY_ERR_USAGE where the configuration refuses it. */
HY_MUST_CHECK hy_status hy_scale_point_at(const hy_scale_grid *grid, int64_t i, hy_scale_point *point);
/* Of the whole configuration. Local. */
HY_MUST_CHECK hy_status hy_scale_hash(const hy_config *config, uint64_t *hash);

#endif
