/* What a run has read of its stores, and which store each sequence comes from.
 *
 * Sequence q of the run (from 0, over all steps) comes from the store whose interval holds
 *
 *     u_q = frac(u_0 + q·φ),  φ = (√5 − 1)/2,  u_0 drawn from the seed,
 *
 * where the stores' intervals of [0, 1) are as long as their shares of the weights. These points fill every interval so
 * evenly that among any n consecutive sequences a store has its share of n up to a few, where independent draws would be
 * off by √n. It is a function of (seed, q) alone: of (seed, step) while the batch stays. */
#ifndef HY_TRAIN_DATA_MIX_H
#define HY_TRAIN_DATA_MIX_H

#include "base/status.h"
#include "train/data/store_order.h"

enum { HY_STORES_MAX = 16, HY_RECORDS_MAX = 32, HY_STORE_NAME_MAX = 64 };

/* How far one store has been read. */
typedef struct hy_store_record {
    char name[HY_STORE_NAME_MAX];
    int64_t tokens; /* the store's */
    hy_store_position position;
} hy_store_record;

/* What a checkpoint records; n_stores 0: nothing was recorded. Stores that are no longer read keep their records. */
typedef struct hy_data_state {
    int64_t sequences, tokens; /* read in all */
    int64_t n_stores;
    hy_store_record stores[HY_RECORDS_MAX];
} hy_data_state;

typedef struct hy_data_mix {
    uint64_t seed;
    int64_t sequence; /* tokens of a sequence */
    int64_t places;   /* of the batch, which read a stretch each of the one source (store_stretch.h); 0: no such */
    int n;
    struct {
        int record; /* index into the state's stores */
        double weight;
        int64_t block; /* see store_order.h */
    } sources[HY_STORES_MAX];
} hy_data_mix;

/* The record of the store called so, in *index; a new one where there is none, or where it is of a store of another
 * size (*fresh tells). HY_ERR_DATA if there are too many. */
HY_MUST_CHECK hy_status hy_data_state_find(hy_data_state *state, const char *name, int64_t tokens, int *index,
                                           int *fresh);

/* The source that sequence `number` of the run comes from. */
int hy_data_mix_source(const hy_data_mix *mix, int64_t number);

/* Takes the run's next sequence: its source, its first token. */
void hy_data_mix_next(const hy_data_mix *mix, hy_data_state *state, int *source, int64_t *begin);

/* With places: a step begins, takes each place's sequence, and ends. *seen: see hy_stretch_read. */
void hy_data_mix_enter(const hy_data_mix *mix, hy_data_state *state);
int64_t hy_data_mix_read(const hy_data_mix *mix, const hy_data_state *state, int64_t place, int64_t *seen);
void hy_data_mix_advance(const hy_data_mix *mix, hy_data_state *state);
/* What is carried from step to step is lost. */
void hy_data_mix_forget(const hy_data_mix *mix, hy_data_state *state);

#endif
