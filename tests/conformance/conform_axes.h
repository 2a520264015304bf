/* What the conformance matrix varies, as axes of named values, and which rows of it are run: all, or few that have every pair. */
#ifndef HY_TESTS_CONFORM_AXES_H
#define HY_TESTS_CONFORM_AXES_H

#include <stdint.h>

#include "base/status.h"

/* Of the first ones, CONFORM_MAIN of them, the matrix is the product; the others are drawn for each of its rows. */
typedef enum conform_axis {
    CONFORM_KIND,     /* a row of the table of mixers */
    CONFORM_RANKS,    /* that share the sequences */
    CONFORM_EXCHANGE, /* of states / of keys and values */
    CONFORM_LAYOUT,
    CONFORM_PACKING, /* documents and sequences */
    CONFORM_RECOMPUTE,
    CONFORM_PLACE, /* device and transport */
    CONFORM_MAIN,
    CONFORM_TYPE = CONFORM_MAIN,
    CONFORM_OVERLAP,
    CONFORM_HEADS, /* how many, how wide */
    CONFORM_NODE,  /* ranks that are near each other */
    CONFORM_BLOCK, /* of a state that is cut */
    CONFORM_OFFLOAD,
    CONFORM_AXES
} conform_axis;

/* What a kind exchanges, which decides who computes what of it: a state's map has numbers for A, or a matrix, or there is one per level. */
typedef enum conform_group {
    CONFORM_NUMBERS,
    CONFORM_MATRICES,
    CONFORM_LEVELS,
    CONFORM_KEYS,
    CONFORM_GROUPS,
    CONFORM_NEITHER = CONFORM_GROUPS
} conform_group;

enum { CONFORM_VALUES_MAX = 48 };

typedef struct conform_values {
    const char *title;
    int n;
    char names[CONFORM_VALUES_MAX][40];
    conform_group groups[CONFORM_VALUES_MAX]; /* of kinds */
} conform_values;

typedef struct conform_row {
    uint8_t at[CONFORM_AXES]; /* index of the value on each axis */
} conform_row;

/* Adds a value. HY_ERR_FAILED if there are too many. */
HY_MUST_CHECK hy_status conform_add_value(conform_values *axis, const char *name);

/* Rows that have at least once every combination of ranks, exchange, layout and packing, every one of ranks, exchange, layout and a kind's group, and
 * every pair of values of any two axes, sorted by kind; the same for the same axes and seed. The caller frees
 * *rows. Local. */
HY_MUST_CHECK hy_status conform_cover(const conform_values axes[CONFORM_AXES], uint64_t seed, conform_row **rows,
                                      int64_t *n);
/* Rows of the product of the main axes, and the i-th of them, by kind first. Pure. */
int64_t conform_product(const conform_values axes[CONFORM_AXES]);
conform_row conform_product_row(const conform_values axes[CONFORM_AXES], uint64_t seed, int64_t i);

/* Pairs of values that `rows` do not have. Local. */
int64_t conform_pairs_missing(const conform_values axes[CONFORM_AXES], const conform_row *rows, int64_t n);

#endif
