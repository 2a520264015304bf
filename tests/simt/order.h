/* Who comes next: of the lanes of a block that may run, and of the blocks of a grid. */
#ifndef HY_TESTS_SIMT_ORDER_H
#define HY_TESTS_SIMT_ORDER_H

#include <stdint.h>

#include "tests/simt/simt.h"

/* FORWARD and REVERSE are unfair: always the first, or last, lane that can go on, so some are as far ahead of the others as barriers let
 * them. SHUFFLE draws. */
typedef enum hy_order_kind { HY_ORDER_FORWARD, HY_ORDER_REVERSE, HY_ORDER_SHUFFLE } hy_order_kind;

typedef struct hy_order {
    hy_order_kind kind;
    uint64_t seed; /* of the next draw */
} hy_order;

/* HYLAS_SIMT_ORDER and HYLAS_SIMT_SEED of the environment. Ends the process at an unknown word. */
hy_order hy_order_chosen(void);
/* The block that comes as the i-th of n. */
int64_t hy_order_block(const hy_order *order, int64_t i, int64_t n);

/* Lanes that may run. */
typedef struct hy_turns {
    hy_order order;
    int n;
    uint64_t bits[HY_SIMT_THREADS_MAX / 64]; /* lane i, or n - 1 - i in reverse */
} hy_turns;

/* All of n. */
void hy_turns_begin(hy_turns *turns, int n);
void hy_turns_add(hy_turns *turns, int lane);
/* Whose turn it is, who is not among them any more; -1: nobody's. */
int hy_turns_take(hy_turns *turns);

#endif
