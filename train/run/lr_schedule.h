#ifndef HY_TRAIN_LR_SCHEDULE_H
#define HY_TRAIN_LR_SCHEDULE_H

#include <stdint.h>

typedef enum hy_lr_kind { HY_LR_COSINE, HY_LR_CONSTANT, HY_LR_WSD } hy_lr_kind;

/* Linear warm-up, then what `kind` says. Steps count from 1, W = warmup, N = steps, D = decay, r = min_lr_ratio:
 *
 *     step <= W:   lr · step/W
 *     cosine:      lr · (r + (1 − r)·(1 + cos(π (step − W)/(N − W)))/2)
 *     constant:    lr
 *     wsd:         lr up to step N − D (warm-up, stable), then lr · (r + (1 − r)·(N − step)/D) (decay)
 *     step > N:    as at N */
typedef struct hy_lr_schedule {
    hy_lr_kind kind;
    double lr, min_lr_ratio;
    int64_t warmup, decay, steps;
} hy_lr_schedule;

double hy_lr_schedule_at(const hy_lr_schedule *schedule, int64_t step);

#endif
