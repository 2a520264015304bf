/* The critical path of a step: what, one behind the other, made it end when it did. Walked backwards from the rank that ended last: through what it
 * did itself, until a wait; what it waited for began to move when the last of its ranks had posted, so the path goes through the transfer
 * to that rank and that moment. What lies beside the path could be faster and nothing would be gained. */
#ifndef HY_TRAIN_CRITICAL_PATH_H
#define HY_TRAIN_CRITICAL_PATH_H

#include "train/trace/exchange_match.h"

typedef struct hy_path_part {
    int64_t rank;        /* of an exchange: who waited for it */
    int64_t from;        /* of an exchange: who posted last; else the rank */
    hy_span_kind kind;   /* EXCHANGE: in flight; WORK, HOST, MOVE; WAIT: that nobody else explains */
    const hy_span *span; /* NULL: no span says what the rank did */
    double begin, end;
} hy_path_part;

typedef struct hy_path {
    hy_path_part *parts; /* in order of time, one ends where the next begins */
    int64_t n;
    double seconds;
} hy_path;

/* Of rank 0's i-th step. Freed with hy_free(path.parts). */
HY_MUST_CHECK hy_status hy_path_find(const hy_run_trace *trace, const hy_match *match, int64_t step, hy_path *out);

#endif
