/* A point of a study that really runs: `hylas bench step` on its ranks, started by a launcher that is given in words. */
#ifndef HY_LAUNCH_SCALE_LAUNCH_H
#define HY_LAUNCH_SCALE_LAUNCH_H

#include "launch/scale/scale_grid.h"

/* `words`, as a shell reads them, start what follows them on "{ranks}" ranks: "mpirun -np {ranks}", "srun -n {ranks}". The least of `repeats`
 * steps counts. The configuration goes through a file in the current folder, which all ranks must see. HY_ERR_USAGE: no {ranks}; HY_ERR_FAILED:
 * the run failed. Local. */
HY_MUST_CHECK hy_status hy_scale_launch(const char *words, const hy_scale_point *point, int64_t repeats,
                                        hy_scale_row *row);

#endif
