/* A scaling study as a picture, from its CSV file: tokens per second, efficiency, exposed share and memory over the number of ranks, a line for
 * every combination of settings. */
#ifndef HY_LAUNCH_SCALE_PLOT_H
#define HY_LAUNCH_SCALE_PLOT_H

#include "base/status.h"

/* Of several rows with the same settings and ranks the last counts. HY_ERR_DATA where the file is no study or has no row, HY_ERR_USAGE with more lines
 * than can be told apart. Local. */
HY_MUST_CHECK hy_status hy_scale_plot(const char *csv, const char *svg);

#endif
