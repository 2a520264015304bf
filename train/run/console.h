/* What a run shows on stdout (rank 0): the mesh and the table of layers at start, one line per step, and on a terminal
 * a progress bar below the last line. */
#ifndef HY_TRAIN_CONSOLE_H
#define HY_TRAIN_CONSOLE_H

#include "train/run/dry_run.h"
#include "train/run/eval_pass.h"
#include "train/run/metrics.h"
#include "train/run/trainer.h"

typedef struct hy_console {
    bool terminal;
    int64_t last;            /* the run's last step */
    double seconds_per_step; /* running mean, for the ETA */
    bool bar_shown;
} hy_console;

/* At most 80 columns. */
typedef struct hy_console_line {
    char s[88];
} hy_console_line;

/* Fields from the most to the least important, as many as fit; all of them are in metrics.jsonl. `eta` NULL: left to the
 * bar. Local. */
hy_console_line hy_console_step_line(int64_t step, int64_t last, const hy_step_result *result,
                                     const hy_step_rates *rates, const char *eta);
/* What is done of the whole run, also where this process began in its middle. Local. */
hy_console_line hy_console_bar_line(int64_t step, int64_t last, const char *eta);

void hy_console_begin(hy_console *console, int64_t last);
void hy_console_step(hy_console *console, int64_t step, const hy_step_result *result, const hy_step_rates *rates,
                     bool show);
/* The stage at hand begins with step `step`, or goes on with it; nothing where the run has but one. */
void hy_console_stage(hy_console *console, const hy_trainer *trainer, int64_t step);
void hy_console_eval(hy_console *console, int64_t step, const hy_eval_result *result);
/* Any other line. */
HY_PRINTF(2, 3) void hy_console_note(hy_console *console, const char *format, ...);
void hy_console_end(hy_console *console);

/* The mesh, then layer, mixer, method, bytes that rank 0 sends in a step of the stage at hand. Local. */
HY_MUST_CHECK hy_status hy_console_layers(const hy_trainer *trainer, const hy_dry_run *planned, double peak);

#endif
