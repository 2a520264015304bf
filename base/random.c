/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Convention:
 *
 *     key = (seed low, seed high), counter = (stream low, stream high, index low, index high)
 *
 * and of the four output words the first two make hy_random_u64, low word first. The normal uses all four. */
#include "base/random.h"

#include <assert.h>
#include <math.h>

#include <Random123/philox.h>

typedef struct random_pair {
    uint64_t first;
    uint64_t second;
} random_pair;

static random_pair philox(uint64_t seed, uint64_t stream, uint64_t index) {
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t counter = {
        {(uint32_t)stream, (uint32_t)(stream >> 32), (uint32_t)index, (uint32_t)(index >> 32)}};
    const philox4x32_ctr_t x = philox4x32_R(10, counter, key);
    return (random_pair){x.v[0] | (uint64_t)x.v[1] << 32, x.v[2] | (uint64_t)x.v[3] << 32};
}

/* The midpoints of 2^52 equal cells: with 53 bits the last midpoint would round to 1. */
static double to_open_unit(uint64_t bits) {
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

uint64_t hy_random_u64(uint64_t seed, uint64_t stream, uint64_t index) {
    return philox(seed, stream, index).first;
}

double hy_random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    return to_open_unit(philox(seed, stream, index).first);
}

double hy_random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
    const double two_pi = 6.283185307179586;
    const random_pair x = philox(seed, stream, index);
    return sqrt(-2.0 * log(to_open_unit(x.first))) * cos(two_pi * to_open_unit(x.second));
}

uint64_t hy_random_stream(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    }
    return hash;
}

/* The round function of the network. Its counters carry a tag in their top word, far from the indices of values drawn
 * from the stream. */
static uint64_t feistel_round(uint64_t seed, uint64_t stream, uint64_t mask, uint64_t round, uint64_t half) {
    const uint64_t tag = (uint64_t)0xfe157e10 << 32;
    return hy_random_u64(seed, stream, tag + (round << 32) + half) & mask;
}

enum { FEISTEL_ROUNDS = 12 };

/* One pass of the network over 2 * half_bits bits: a bijection whatever the round function is. */
static uint64_t feistel(uint64_t seed, uint64_t stream, unsigned half_bits, uint64_t x) {
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = x >> half_bits;
    uint64_t right = x & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        const uint64_t mixed = left ^ feistel_round(seed, stream, mask, round, right);
        left = right;
        right = mixed;
    }
    return left << half_bits | right;
}

/* The rounds backwards. */
static uint64_t feistel_inverse(uint64_t seed, uint64_t stream, unsigned half_bits, uint64_t x) {
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = x >> half_bits;
    uint64_t right = x & mask;
    for (uint64_t round = FEISTEL_ROUNDS; round-- > 0;) {
        const uint64_t mixed = right ^ feistel_round(seed, stream, mask, round, left);
        right = left;
        left = mixed;
    }
    return left << half_bits | right;
}

typedef uint64_t (*network)(uint64_t seed, uint64_t stream, unsigned half_bits, uint64_t x);

/* Walks the cycle of x until it is below n again; fewer than 4 steps on average. */
static uint64_t random_walk(network pass, uint64_t seed, uint64_t stream, uint64_t n, uint64_t x) {
    assert(x < n);
    unsigned half_bits = 1;
    while (half_bits < 32 && (n - 1) >> (2 * half_bits) != 0) {
        half_bits++;
    }
    do {
        x = pass(seed, stream, half_bits, x);
    } while (x >= n);
    return x;
}

uint64_t hy_random_permute(uint64_t seed, uint64_t stream, uint64_t n, uint64_t index) {
    return random_walk(feistel, seed, stream, n, index);
}

uint64_t hy_random_permute_inverse(uint64_t seed, uint64_t stream, uint64_t n, uint64_t image) {
    return random_walk(feistel_inverse, seed, stream, n, image);
}
