/* How heads are shared out among ranks. A layer has main heads (attention: of queries; recurrences: of values) and fewer or as many shared
 * ones, each of which serves main/shared consecutive main heads. A rank's share is consecutive main heads and the shared ones they need, always
 * whole groups or parts of one, so that what a rank computes is the same operation with fewer heads:
 *
 *   shared ≥ ranks: rank r has shared heads ⌊r·shared/P⌋ .. ⌊(r+1)·shared/P⌋ − 1 with all their main heads
 *   shared < ranks: shared head j belongs to ranks ⌊j·P/shared⌋ .. ⌊(j+1)·P/shared⌋ − 1, which cut its main heads likewise; each
 *                   has the shared head itself. Of more ranks than main heads some have none.
 *
 * Source: DeepSpeed-Ulysses (Jacobs et al. 2023), where the number of ranks divides both. */
#ifndef HY_SP_HEAD_SHARES_H
#define HY_SP_HEAD_SHARES_H

#include <stdint.h>

typedef struct hy_heads {
    int64_t main, shared; /* main is a multiple of shared */
} hy_heads;

/* What an array has one of: each main head; each shared head; a token, and every rank with a head reads all. */
typedef enum hy_head_kind { HY_HEADS_MAIN, HY_HEADS_SHARED, HY_HEADS_COMMON, HY_HEAD_KINDS } hy_head_kind;

/* Those of a rank: n from `begin` on, of `total`. Where several ranks have the same one, its gradient is a sum of up to `parts` parts, of which
 * this rank's is number `part`. */
typedef struct hy_head_range {
    int64_t begin, n, total, part, parts;
} hy_head_range;

/* Pure. */
hy_head_range hy_head_range_of(const hy_heads *heads, hy_head_kind kind, int ranks, int rank);

#endif
