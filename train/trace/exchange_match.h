/* Which spans of several ranks are the same exchange: collectives by their name, kind and ranks, messages by sender, receiver, name and tag; the
 * n-th of a step on one rank is the n-th on the others, because all post in program order. */
#ifndef HY_TRAIN_EXCHANGE_MATCH_H
#define HY_TRAIN_EXCHANGE_MATCH_H

#include "train/trace/run_trace.h"

/* One rank's part in an exchange. */
typedef struct hy_exchange_end {
    int64_t rank, span; /* index of its span */
    const hy_span *of;
    int64_t first, other; /* its ranks: the first of a collective's; or the sender and the receiver of a message */
    int64_t ordinal;
} hy_exchange_end;

typedef struct hy_match {
    hy_exchange_end *ends; /* those of an exchange one behind the other */
    int64_t n, n_whole;    /* n_whole: of exchanges whose ranks are all there */
    int64_t **group;       /* [rank][span]: the first of ends that are the same exchange, or −1 */
    int64_t ranks;
} hy_match;

HY_MUST_CHECK hy_status hy_match_create(const hy_run_trace *trace, hy_match *out);
void hy_match_free(hy_match *match);
/* How many ends the exchange has that begins at ends[first]. */
int64_t hy_match_size(const hy_match *match, int64_t first);
/* The end that was posted last of the exchange that `span` of `rank` is of; NULL if not all of its ranks are there. */
const hy_exchange_end *hy_match_latest(const hy_match *match, int64_t rank, int64_t span);

#endif
