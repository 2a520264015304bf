/* What happens when: entries by time, the earliest first; of equal ones, in the order in which they were added. */
#ifndef HY_BASE_TIME_QUEUE_H
#define HY_BASE_TIME_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct hy_time_entry {
    double when;
    uint64_t order;
    int64_t what, version; /* the caller's */
} hy_time_entry;

typedef struct hy_time_queue {
    hy_time_entry *heap;
    int64_t n, limit;
    uint64_t added;
} hy_time_queue; /* zeros: empty */

HY_MUST_CHECK hy_status hy_time_queue_add(hy_time_queue *queue, double when, int64_t what, int64_t version);
/* NULL: there is none. */
const hy_time_entry *hy_time_queue_first(const hy_time_queue *queue);
void hy_time_queue_drop_first(hy_time_queue *queue);
void hy_time_queue_clear(hy_time_queue *queue);

#endif
