/* What a call of an operation costs, from its arguments alone, whatever executes it: for plans, rooflines and models of time.
 *
 *   flops   additions, multiplications, divisions and elementary functions (exp, log, sqrt, sine), one each: a multiply-add is 2.
 *           What causality, windows and documents leave out does not count. Recurrences count in chunks of 64 tokens, the form in
 *           which they are products (hy_recur_flops); long convolutions by FFT; recomputation inside an operation (attention's scores
 *           in backward) counts
 *   bytes   every array that the call reads, once, and every one that it writes, once; one that it adds to twice. By role (dtype.h).
 *           Scratch does not
 *           count; a row of queries or keys counts for every pair of attention's list that has it */
#ifndef HY_KERNELS_COST_H
#define HY_KERNELS_COST_H

#include "kernels/kernels.h"

typedef struct hy_cost {
    double flops, bytes;
} hy_cost;

/* Where the host can read a list that the arguments point to (runs, first keys, documents, positions); NULL: where they point. */
typedef struct hy_list_view {
    const void *(*host)(const struct hy_list_view *view, const void *list);
} hy_list_view;

/* Local. */
hy_cost hy_cost_of(hy_op_id op, const void *args, hy_dtype precision, const hy_list_view *view);

/* One token of one value head of a recurrence, forward. */
double hy_recur_flops(hy_rule rule, int64_t K, int64_t V);

/* Pairs of query and key that see each other: queries at q_begin.., the i-th of which sees from lo[i] to itself, keys at
 * k_begin... lo never decreases. */
double hy_pairs_seen(const int64_t *lo, int64_t nq, int64_t q_begin, int64_t nk, int64_t k_begin);

#endif
