/* Sums over tokens that are the same to the bit on 1, 2, 4, ... ranks (parallel.invariant).
 *
 * A sequence is cut into F fixed fragments (sp/layout.h), F a power of two, and a rank has F/P of them, also a power of two. What is added
 * up over tokens is so for each fragment alone, the leaves; then they are added in pairs, the pairs in pairs, and so on. The lower
 * part of that tree is a rank's own, the upper part goes over ranks, and where one ends and the other begins changes nothing. With
 * zigzag, where a rank has fragments i and F−1−i, these two are the first pair. Groups of parallel.data come last. */
#ifndef HY_TRAIN_FIXED_SUMS_H
#define HY_TRAIN_FIXED_SUMS_H

#include "comm/comm.h"
#include "train/run/config.h"

/* HY_ERR_USAGE if so many ranks cannot share a sequence with its cuts (hy_cuts_check), or parallel.invariant is set and they or its fragments do not
 * go with it. Local. */
HY_MUST_CHECK hy_status hy_fixed_sums_check(const hy_config *config, int sequence_size);
/* What buckets of parameters are cut into (hy_model_create): as many shards for any number of ranks. */
int hy_fixed_sums_shards(const hy_sp_method *method, int ranks, int sequence_size);
/* Flat arrays of gradients that a rank reserves: its sums, and one that shards of others come to. */
int64_t hy_fixed_sums_arrays(const hy_sp_method *method, int sequence_size);

/* The sum of leaves[0], leaves[1], ..., a power of two of them, in pairs. */
double hy_fixed_sum(double *leaves, int64_t n);
/* Of fragments: with zigzag first the mirrored pairs. */
double hy_fixed_sum_fragments(const hy_sp_method *method, double *leaves, int64_t n);
/* values [n] of all ranks, added in pairs of ranks. all: scratch [size,n]. Collective. */
void hy_fixed_sum_ranks(hy_comm *world, const char *name, double *values, int64_t n, double *all);

/* The same of arrays of gradients in the device's memory: elements begin ... begin + n − 1 of `arrays` that lie `ld` elements apart, into
 * those of the first. */
typedef struct hy_fixed_arrays {
    hy_device *device;
    unsigned char *first;
    int64_t arrays, ld, begin, n;
    size_t size; /* bytes of an element */
    bool mirrored;
} hy_fixed_arrays;
void hy_fixed_sum_arrays(const hy_fixed_arrays *a);

#endif
