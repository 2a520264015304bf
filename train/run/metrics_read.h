/* metrics.jsonl read back, as it may be found: of a running job, torn by a kill, repeated by a resume. */
#ifndef HY_TRAIN_METRICS_READ_H
#define HY_TRAIN_METRICS_READ_H

#include <stdint.h>

#include "base/status.h"

/* NaN where a line has no such figure, or null. */
typedef struct hy_step_record {
    int64_t step;
    double tokens, loss, grad_norm, lr, seconds, tokens_per_second, mfu, exposed;
} hy_step_record;

typedef struct hy_eval_record {
    int64_t step;
    int store; /* index of its name */
    double loss;
} hy_eval_record;

enum { HY_HISTORY_STORES = 16 };

typedef struct hy_metrics_history {
    hy_step_record *steps; /* [n_steps], steps ascending */
    hy_eval_record *evals; /* [n_evals], steps not descending */
    int64_t n_steps, n_evals;
    int64_t n_foreign; /* whole lines that are no records */
    char stores[HY_HISTORY_STORES][64];
    int n_stores; /* names of validation stores, in order of appearance; "" where a line names none */
} hy_metrics_history;

/* A torn last line is passed over. A step that comes again begins a history of its own: what stood there from this step
 * on no longer counts. HY_ERR_DATA if the file cannot be read. Local. */
HY_MUST_CHECK hy_status hy_metrics_read(const char *path, hy_metrics_history *out);
void hy_metrics_history_free(hy_metrics_history *history);

#endif
