/* Reference segment maps S → A·S + H. A is a number, a diagonal [K] or a matrix [K,K] per head. */
#include <stdint.h>

/* Row i of A·S is Σ_m A(i,m)·S[m,:]; this is the offset of A(i,m), and whether the sum has one term only (m = i). */
typedef struct transition_shape {
    int64_t K, size;
    int transpose, diagonal;
} transition_shape;

static transition_shape transition_shape_of(int64_t K, int64_t size, int transpose) {
    return (transition_shape){.K = K, .size = size, .transpose = transpose, .diagonal = size < K * K};
}

static int64_t transition_at(const transition_shape *s, int64_t i, int64_t m) {
    if (s->diagonal)
        return s->size == 1 ? 0 : i;
    return s->transpose ? m * s->K + i : i * s->K + m;
}

#define REF_BODY "kernels/cpu/ref_map.inc"
#include "kernels/cpu/ref_precisions.h"
