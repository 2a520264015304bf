/* Log-linear recurrences (hy_level_recur in kernels/kernels.h) as passes of the ordinary recurrence, which recur.cu computes.
 *
 * The carry adds up states that all go through the same transitions. So what is read at level bit + 1 is an ordinary recurrence that begins
 * anew where a span of 2^(bit+1) positions does: the first half of a span is written and not read, the second half is read, scaled by
 * l_{bit+1}, and not written. A state that enters a run in one of the bits of its position goes through the whole run, and token t reads it
 * at the level of t and the block's first token, wherever it has been merged by then. Hence a pass per bit over the spans of all runs, and one
 * per bit over all runs that states enter; outputs and gradients are sums over passes, in float. Spans shorter than a chunk share pieces of
 * 2^(SHORTEST_PIECE+1) positions: where one begins, its decay forgets all that was. */
#ifndef HY_KERNELS_CUDA_LEVELS_CUH
#define HY_KERNELS_CUDA_LEVELS_CUH

#include "kernels/cuda/recur.cuh"

namespace HY_GPU {

struct level_of {
    recur_of r;
    int64_t L, N;
    const int64_t *pos;
    const void *l;
    void *dl;
};

template <hy_dtype P> static inline level_of level_args(const hy_level_recur_args *a) {
    return {recur_args<P>(&a->base), a->L, a->N, a->pos, a->l, a->dl};
}

/* The level at which position p sees position s. */
HY_DEVICE int64_t level_between(int64_t p, int64_t s) {
    int64_t n = 0;
    for (int64_t x = p ^ s; x > 0; x >>= 1)
        n++;
    return n;
}
HY_DEVICE bool level_has(int64_t pos, int64_t bit) {
    return (pos >> bit & 1) != 0;
}
/* First position of the block of a bit that `pos` has. */
HY_DEVICE int64_t level_block(int64_t pos, int64_t bit) {
    return pos >> (bit + 1) << (bit + 1);
}

HY_DEVICE bool level_begins(int64_t pos, int64_t bit) {
    return (pos & (((int64_t)2 << bit) - 1)) == 0;
}

enum { SHORT_SPANS = 5, SHORTEST_PIECE = 7 }; /* bits below SHORT_SPANS share pieces */

/* One pass, and the parts of the work, [T,...] as in hy_recur: those without a type have role act. */
struct level_pass {
    level_of w;
    bool entering;               /* of states that enter runs, else of spans */
    int64_t bit, piece, n_spans; /* piece: as `bit`, of what is a run */
    hy_run *spans;               /* [n_spans] runs of the recurrence, some empty */
    float *g;                    /* decays that forget, per value head or vectors; NULL: the operation's own */
    void *v, *d_o;               /* what it writes, v or 0; what it reads scaled, l·d_o or 0 */
    void *o, *dq, *dk, *dv;      /* its results */
    float *dg, *dbeta;           /* decays per head: none, they add up by themselves */
    float *keys[2], *values;     /* sums over passes: dq, dk; o or dv */
    void *recur;                 /* its own work */
    size_t bytes;                /* of all */
};

/* level_pass.cu. Before all passes: sums begin with the tokens' own b k vᵀ, read with l_0; gradients of bits that no state enters are 0. */
void level_begin_outputs(const level_pass &p);
void level_begin_grads(const level_pass &p);
void level_clear_states(const level_pass &p, void *states);
/* Before the recurrence's pass: spans, v and d_o where there are such. After it: its results to the sums. */
void level_prepare(const level_pass &p);
void level_add_outputs(const level_pass &p);
void level_add_grads(const level_pass &p);
/* After all: the sums to o, to dq, dk, dv. */
void level_end_outputs(const level_pass &p);
void level_end_grads(const level_pass &p);

} // namespace HY_GPU

#endif
