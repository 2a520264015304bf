/* What happens when: entries by time, the earliest first; of equal ones, in the order in which they were added.
 *
 * Ranks that do the same at the same time add entries of one time, thousands in a row: they are one *moment*, and only moments are sorted (a heap). A moment
 * whose time is added again is found by a small table that forgets: then the time has two moments, the later of which gets all that is added from there on. */
#ifndef HY_BASE_TIME_QUEUE_H
#define HY_BASE_TIME_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_RECENT_MOMENTS = 64 };

typedef struct hy_time_entry {
    double when;
    int64_t what, version; /* the caller's */
    int64_t next;          /* of its moment; spare ones likewise; -1: none */
} hy_time_entry;

typedef struct hy_moment {
    double when;
    uint64_t order;      /* among moments */
    int64_t first, last; /* entries; first is -1 once it is over, next spare one in `last` */
} hy_moment;

typedef struct hy_time_queue {
    hy_time_entry *entries;
    hy_moment *moments;
    int64_t *heap;                     /* moments, the first at 0 */
    int64_t recent[HY_RECENT_MOMENTS]; /* by time: 1 + the moment that was added to last; 0: none */
    int64_t n, limit;                  /* of heap */
    int64_t n_entries, limit_entries, n_moments, limit_moments;
    int64_t spare_entry, spare_moment; /* 1 + the first; 0: none */
    uint64_t added;
} hy_time_queue; /* zeros: empty */

HY_MUST_CHECK hy_status hy_time_queue_add(hy_time_queue *queue, double when, int64_t what, int64_t version);
/* NULL: there is none. */
const hy_time_entry *hy_time_queue_first(const hy_time_queue *queue);
void hy_time_queue_drop_first(hy_time_queue *queue);
void hy_time_queue_clear(hy_time_queue *queue);

#endif
