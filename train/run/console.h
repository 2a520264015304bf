/* What a run shows on stdout (rank 0): the mesh and the table of layers at start, one line per step, and on a terminal
 * a progress bar below the last line. */
#ifndef HY_TRAIN_CONSOLE_H
#define HY_TRAIN_CONSOLE_H

#include "train/run/eval_pass.h"
#include "train/run/metrics.h"
#include "train/run/trainer.h"

typedef struct hy_console {
    bool terminal;
    int64_t first, last;     /* steps of this run: (first, last] */
    double seconds_per_step; /* running mean, for the ETA */
    bool bar_shown;
} hy_console;

void hy_console_begin(hy_console *console, int64_t first, int64_t last);
void hy_console_step(hy_console *console, int64_t step, const hy_step_result *result, const hy_step_rates *rates,
                     bool show);
void hy_console_eval(hy_console *console, int64_t step, const hy_eval_result *result);
/* Any other line. */
HY_PRINTF(2, 3) void hy_console_note(hy_console *console, const char *format, ...);
void hy_console_end(hy_console *console);

/* The mesh, then layer, mixer, method, bytes that rank 0 sends per micro-step. Local. */
HY_MUST_CHECK hy_status hy_console_layers(const hy_trainer *trainer, double peak);

#endif
