/* Which sequences a step sees, and which of them a data group computes: pure functions, so that a resumed run, and a
 * run on another number of ranks, sees the same data.
 *
 * Sequence i of a store is its tokens [i·S, (i+1)·S); a last part shorter than S is not used. Number the positions of
 * all batches one after the other: position p = step·batch + index. Epoch e = ⌊p/n⌋ visits all n sequences in an order
 * of its own: a permutation keyed by (seed, e). */
#ifndef HY_TRAIN_DATA_ORDER_H
#define HY_TRAIN_DATA_ORDER_H

#include <stdint.h>

/* The sequence at `index` of the batch of `step` (from 0), of `n` sequences in all. */
int64_t hy_data_order(uint64_t seed, int64_t n, int64_t batch, int64_t step, int64_t index);

/* How a batch is spread: group g computes the sequences [first, first + count) of it in `calls` micro-steps of `unit`
 * sequences each.
 *
 * Groups get equal counts, the first ones one more where the batch does not divide. A model's memory is bound to one
 * number of sequences per micro-step, so unit = batch/(groups·accumulate) where that is whole, and 1 otherwise: then
 * there are more micro-steps than `accumulate` says, the result is the same and memory is less. */
typedef struct hy_data_split {
    int64_t unit, first, count, calls;
    int64_t calls_max; /* of any group */
} hy_data_split;

hy_data_split hy_data_split_make(int64_t batch, int64_t groups, int64_t group, int64_t accumulate);

/* The same for validation with the micro-steps of training: the last call may be filled up with uncounted sequences. */
hy_data_split hy_data_split_eval(int64_t sequences, int64_t groups, int64_t group, int64_t unit);

#endif
