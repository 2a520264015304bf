/* The order in which a store is read, and how far it has been read: a state that every rank advances in the same way,
 * that a checkpoint records, and that does not depend on batch, ranks or micro-steps. docs/training.md has the reasons.
 *
 * A store of N tokens is cut into n = max(1, ⌊N/U⌋) blocks of U tokens, the last one with the rest. Epoch e visits them
 * in the order of a permutation keyed by (seed, e). Sequences lie in one block each; up to HY_ORDER_LANES blocks are
 * open at a time and give a sequence in turn, each from where it was left. What is left of a block that holds no whole
 * sequence any more is not used in this epoch. Where U is the sequence length S, sequence p of the run is therefore
 * tokens [π_e(p mod n)·S, (π_e(p mod n) + 1)·S) with e = ⌊p/n⌋.
 *
 * Another U takes effect with the next epoch. Where S grows beyond the U of an unfinished epoch, a further span of that
 * epoch begins: blocks of the new U in an order of their own, without those that have been touched in this epoch. */
#ifndef HY_TRAIN_STORE_ORDER_H
#define HY_TRAIN_STORE_ORDER_H

#include <stdint.h>

enum { HY_ORDER_LANES = 16, HY_ORDER_SPANS = 8 };

typedef struct hy_order_span {
    int64_t block; /* U */
    int64_t taken; /* blocks that were opened, in the span's order */
} hy_order_span;

typedef struct hy_order_lane {
    int64_t block;  /* its number in the store */
    int64_t offset; /* tokens of it that were read */
} hy_order_lane;

/* All zeros: nothing was read. */
typedef struct hy_store_position {
    int64_t read;  /* tokens, over all epochs */
    int64_t epoch; /* from 0 */
    int64_t n_spans;
    hy_order_span spans[HY_ORDER_SPANS]; /* of this epoch; the last one is being read */
    int64_t n_lanes, lane;               /* open blocks; the one whose turn it is */
    hy_order_lane lanes[HY_ORDER_LANES];
} hy_store_position;

typedef struct hy_store_order {
    uint64_t seed;
    int64_t tokens; /* N */
    int64_t block;  /* U wanted; raised to the sequence length, lowered to N */
} hy_store_order;

/* Takes the next sequence of `sequence` tokens, 1 <= sequence <= order->tokens; its first token. */
int64_t hy_store_order_next(const hy_store_order *order, int64_t sequence, hy_store_position *position);

/* Where a store of `tokens` tokens is after `count` sequences of `sequence` tokens in blocks of the same length: what
 * checkpoints without a record mean. */
hy_store_position hy_store_position_after(int64_t tokens, int64_t sequence, int64_t count);

/* Whether a position read from a file can be one of a store of `tokens` tokens. */
int hy_store_position_fits(const hy_store_position *position, int64_t tokens);

#endif
