/* The points of a ladder of model sizes. `--sizes KEY=V1,V2,...` gives size i the i-th value of every key; `--vary KEY=VALUES` makes a ladder of its
 * own, a family, of every combination of values. The sizes of a family follow one another. */
#ifndef HY_LAUNCH_SCALE_LADDER_GRID_H
#define HY_LAUNCH_SCALE_LADDER_GRID_H

#include "launch/scale/scale_grid.h"

enum { HY_LADDER_KEYS = 2 * HY_VARIED_MAX, HY_LADDER_FAMILIES = 24 };

typedef struct hy_ladder_grid {
    hy_varied keys[HY_LADDER_KEYS]; /* first those of --vary, then those of --sizes */
    int n_varied, n_keys, n_sizes, n_families;
} hy_ladder_grid;

/* HY_ERR_USAGE: lists of --sizes that are not equally long, too many of anything. */
HY_MUST_CHECK hy_status hy_ladder_grid_parse(const hy_option_list *sizes, const hy_option_list *vary,
                                             hy_ladder_grid *grid);
int hy_ladder_points(const hy_ladder_grid *grid);
/* What point `i` has for grid->keys[k]. */
const char *hy_ladder_value(const hy_ladder_grid *grid, int i, int k);
/* "width=64,layers=4" of keys [begin, end), each by what follows its last dot. */
void hy_ladder_name(const hy_ladder_grid *grid, int i, int begin, int end, char *name, size_t size);

#endif
