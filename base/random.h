/* Counter-based random numbers (Random123's Philox 4x32-10): a value is a pure function of (seed, stream,
 * index), so it does not depend on rank count or order of evaluation. */
#ifndef HY_BASE_RANDOM_H
#define HY_BASE_RANDOM_H

#include <stdint.h>

uint64_t hy_random_u64(uint64_t seed, uint64_t stream, uint64_t index);
double hy_random_uniform(uint64_t seed, uint64_t stream, uint64_t index); /* in (0, 1) */
double hy_random_normal(uint64_t seed, uint64_t stream, uint64_t index);  /* N(0, 1), Box-Muller */

/* Stream number for a name (a parameter's, say): its FNV-1a hash. */
uint64_t hy_random_stream(const char *name);

/* A permutation of 0..n-1 keyed by (seed, stream), evaluated pointwise: the image of `index` (Feistel network
 * with cycle walking; no table). */
uint64_t hy_random_permute(uint64_t seed, uint64_t stream, uint64_t n, uint64_t index);
/* The index whose image is `image`. */
uint64_t hy_random_permute_inverse(uint64_t seed, uint64_t stream, uint64_t n, uint64_t image);

#endif
