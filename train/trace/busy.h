/* When a rank computed: the union of its WORK spans less the WAIT and MOVE spans in them, as parts in order of time that do not overlap. */
#ifndef HY_TRAIN_BUSY_H
#define HY_TRAIN_BUSY_H

#include <stdbool.h>

#include "base/span.h"

typedef struct hy_busy_part {
    double begin, end, before; /* before: seconds of all parts before this one */
    const hy_span *span;       /* the WORK span it is of; of hy_busy_add's spans */
} hy_busy_part;

typedef struct hy_busy {
    hy_busy_part *parts; /* the caller's */
    int64_t n;
} hy_busy;

/* Adds the parts of spans[n], in order of their beginnings and later than all that is there: at most n. `lanes`: WORK and WAIT have the times
 * of the device's lane, which the host's MOVE does not keep from computing. */
void hy_busy_add(hy_busy *busy, const hy_span *spans, int64_t n, bool lanes);
/* Forgets what ended before `time`. */
void hy_busy_forget(hy_busy *busy, double time);
/* The first part that ends after `time`; n if there is none. */
int64_t hy_busy_at(const hy_busy *busy, double time);
/* Seconds of computing in [begin, end]. */
double hy_busy_within(const hy_busy *busy, double begin, double end);

#endif
