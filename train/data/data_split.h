/* Which sequences of a batch a data group computes, and in how many micro-steps. */
#ifndef HY_TRAIN_DATA_SPLIT_H
#define HY_TRAIN_DATA_SPLIT_H

#include <stdint.h>

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
