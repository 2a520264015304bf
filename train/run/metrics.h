/* metrics.jsonl: one JSON object per step and per validation, each line on disk (as far as the system is concerned)
 * when the step's console line appears. Only rank 0 writes.
 *
 *     {"step":12,"loss":...,"grad_norm":...,"lr":...,"tokens":...,"seconds":...,"tokens_per_second":...,"mfu":...,"exposed":...,"moving":...,"memory":...,"skipped":false}
 *     {"step":12,"store":"eval","eval_loss":...,"eval_targets":...}
 *
 * one of the second kind for every validation store, and in it, where the store marks answers, "answers" (how many),
 * "answer_accuracy" and "answer_loss". docs/figures.md says what each is. */
#ifndef HY_TRAIN_METRICS_H
#define HY_TRAIN_METRICS_H

#include <stdint.h>

#include "base/status.h"
#include "train/run/eval_pass.h"
#include "train/run/train_step.h"

typedef struct hy_metrics hy_metrics;

typedef struct hy_step_rates {
    double seconds, tokens_per_second;
    double mfu; /* model FLOPs / (seconds · measured GEMM rate of all ranks) */
    double
        exposed; /* share of the step that exchanges kept rank 0 from computing; NaN: its lanes waited, which it does not see */
    double moving;    /* the part of it in which rank 0 did not wait, but posted, tested, copied */
    int64_t resident; /* most bytes that rank 0 had in memory so far */
} hy_step_rates;

/* Opens the file for a run that goes on after step `last_step` (0 = new): later lines, and a torn last one, are cut
 * off, so that no step stands there twice. Local. */
HY_MUST_CHECK hy_status hy_metrics_open(const char *path, int64_t last_step, hy_metrics **out);
/* From now on all of it also goes to a TensorBoard file in `dir`. Local. */
HY_MUST_CHECK hy_status hy_metrics_add_tensorboard(hy_metrics *metrics, const char *dir, int64_t last_step);
void hy_metrics_close(hy_metrics *metrics);
/* A line that cannot be written (disk full) leaves the lines before it whole; later ones may succeed. */
HY_MUST_CHECK hy_status hy_metrics_step(hy_metrics *metrics, int64_t step, const hy_step_result *result,
                                        const hy_step_rates *rates);
HY_MUST_CHECK hy_status hy_metrics_eval(hy_metrics *metrics, int64_t step, const hy_eval_result *result);

#endif
