#ifndef HY_TRAIN_LR_SCHEDULE_H
#define HY_TRAIN_LR_SCHEDULE_H

#include <stdint.h>

/* Linear warm-up, then cosine. Steps count from 1, W = warmup, N = steps:
 *
 *     step <= W:       lr · step/W
 *     W < step <= N:   lr · (r + (1 − r)·(1 + cos(π (step − W)/(N − W)))/2)      r = min_lr_ratio
 *     step > N:        lr · r */
typedef struct hy_lr_schedule {
    double lr, min_lr_ratio;
    int64_t warmup, steps;
} hy_lr_schedule;

double hy_lr_schedule_at(const hy_lr_schedule *schedule, int64_t step);

#endif
