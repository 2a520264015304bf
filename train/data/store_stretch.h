/* The order in which a store is read where documents go on from step to step (train.carry_state). The batch's B places read a stretch each,
 * U = ⌊N/B⌋ tokens, front to back: place b of a step goes on where it was in the step before. Epoch e gives place b stretch π_e(b), a permutation
 * keyed by (seed, e). What is left of a stretch that holds no whole sequence any more is not used in this epoch.
 *
 * How far it has been read is a hy_store_position with one span {U, B} and two lanes, whose offsets are the same for all stretches: tokens
 * read, and where what is carried begins (0, but after something that lost it). Another batch begins another epoch. */
#ifndef HY_TRAIN_STORE_STRETCH_H
#define HY_TRAIN_STORE_STRETCH_H

#include "train/data/store_order.h"

typedef struct hy_store_stretch {
    uint64_t seed;
    int64_t tokens, places; /* N, B; N >= B */
} hy_store_stretch;

/* Whether every place's stretch holds a sequence. */
int hy_stretch_holds(const hy_store_stretch *stretch, int64_t sequence);
/* Makes the position one where each place has a sequence to read; before hy_stretch_read. */
void hy_stretch_enter(const hy_store_stretch *stretch, int64_t sequence, hy_store_position *position);
/* The first token of a place's next sequence; *seen: tokens before it that what is carried has seen. */
int64_t hy_stretch_read(const hy_store_stretch *stretch, int64_t place, const hy_store_position *position,
                        int64_t *seen);
/* All places have read a sequence. */
void hy_stretch_advance(const hy_store_stretch *stretch, int64_t sequence, hy_store_position *position);
/* What is carried is lost: the next sequences begin from nothing. */
void hy_stretch_forget(const hy_store_stretch *stretch, hy_store_position *position);

#endif
