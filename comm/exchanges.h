/* Exchanges made of messages. Each is one phase or two, a phase a number of steps, a step a set of messages that are posted together and
 * waited for together:
 *
 *   message         itself
 *   all-gather      direct (all blocks at once) for few ranks; recursive doubling (Thakur, Rabenseifner, Gropp 2005, 4.1) where ranks are a
 *                   power of two and blocks small; else a ring
 *   reduce-scatter  the sum of block b is ((x[b+1] + x[b+2]) + ...) + x[b]: direct for few ranks, rank b adding up what all send; else a ring from
 *                   rank b + 1 to rank b, each adding its own
 *   all-reduce      small: an all-gather and a sum in rank order, everywhere; else reduce-scatter and all-gather
 *   all-to-all      some peers at a time
 *   broadcast       a binomial tree
 *
 * So sums have one order for a number of ranks and a size. Blocks of collectives carry the number of the collective in their tag: collectives
 * are posted in the same order on all ranks; a few run at a time. Nothing waits: what can go on does in hy_exchanges_progress. */
#ifndef HY_COMM_EXCHANGES_H
#define HY_COMM_EXCHANGES_H

#include "comm/comm_internal.h"
#include "comm/p2p.h"

typedef struct hy_exchanges hy_exchanges;
typedef struct hy_exchange hy_exchange;

/* p2p is copied. */
HY_MUST_CHECK hy_status hy_exchanges_create(const hy_p2p *p2p, hy_exchanges **out);
/* Nothing is on its way. NULL allowed. */
void hy_exchanges_destroy(hy_exchanges *all);

/* NULL: it is complete at once. */
hy_exchange *hy_exchanges_post(hy_exchanges *all, const hy_xfer *xfer);
/* The span (exchange_span.c) that is told when it is complete. */
void hy_exchange_set_span(hy_exchange *exchange, int64_t span);
void hy_exchanges_progress(hy_exchanges *all);
/* True if it is complete: then it is released. Moves nothing on. */
bool hy_exchanges_test(hy_exchanges *all, hy_exchange *exchange);
/* The peer of a message that is still awaited, of the oldest exchange; −1: none is. *kind: of the exchange. */
int hy_exchanges_awaits(const hy_exchanges *all, hy_exchange_kind *kind);

#endif
