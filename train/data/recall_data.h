/* Documents whose marked tokens follow from their context alone: associative recall at a chosen number of facts and
 * distance.
 *
 * A fact is a pair of tokens, key then value. A document states `pairs` facts with distinct keys and then asks
 * `queries` of them: a query is the key and its value once more, and that second value is an answer. Two tasks differ
 * in where the filler lies, that is all other tokens:
 *
 *     mqar    k v k v k v . . k v . . . k v . k v   facts, then queries at uniformly distributed places
 *     needle  . . . . k v . . . . . . . . . . k v   facts at uniformly distributed depths, then queries
 *
 * mqar is the multi-query associative recall of Arora et al. (2023, Zoology), who space queries by a power law; needle
 * with one fact is the needle in a haystack.
 *
 * Ids: filler [0, filler), keys [filler, filler + keys), values the next `values`. Everything is a function of
 * (seed, document). */
#ifndef HY_TRAIN_RECALL_DATA_H
#define HY_TRAIN_RECALL_DATA_H

#include <stdint.h>

#include "base/status.h"

typedef enum hy_recall_task { HY_RECALL_MQAR, HY_RECALL_NEEDLE } hy_recall_task;

typedef struct hy_recall_shape {
    hy_recall_task task;
    int64_t pairs_min, pairs_max; /* facts of a document: uniformly between the two */
    int64_t queries;              /* 0: as many as facts. All facts are asked equally often, to within one */
    int64_t filler, keys, values; /* how many ids of each kind */
    uint64_t seed;
} hy_recall_shape;

/* What is wrong with the shape for documents of `len` tokens, by the names of the command's options: HY_ERR_USAGE. */
HY_MUST_CHECK hy_status hy_recall_check(const hy_recall_shape *shape, int64_t len);

/* Facts of document number `document`, queries to them, and filler tokens in its `len`. */
typedef struct hy_recall_counts {
    int64_t pairs, queries, filler;
} hy_recall_counts;
hy_recall_counts hy_recall_count(const hy_recall_shape *shape, uint64_t document, int64_t len);

/* The document's tokens [len] and answers [len]: 1 where the token is one. text: its filler in order; NULL: random ids.
 * Requires a checked shape. */
void hy_recall_document(const hy_recall_shape *shape, uint64_t document, int64_t len, const int32_t *text,
                        int32_t *tokens, uint8_t *answers);

#endif
