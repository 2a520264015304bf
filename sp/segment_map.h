/* Segment maps along the fragments. A fragment's map is S_out = A·S_in + H; the layout says which part of it matters:
 *
 *   flows                 the fragment's state goes on; S_out is H if its last document starts inside it,
 *   continues and single  A·S_in + H otherwise
 *
 * and, backward, the gradient entering a fragment that continues is dH, plus Aᵀ·dS_out if one document spans it whole.
 * An empty fragment passes everything on. */
#ifndef HY_SP_SEGMENT_MAP_H
#define HY_SP_SEGMENT_MAP_H

#include "sp/sp.h"

/* Does the fragment's outgoing state (incoming gradient) depend on its incoming state (outgoing gradient)? */
static inline bool hy_fragment_passes(const hy_fragment *f) {
    return f->len > 0 && f->continues && f->single && f->flows;
}

/* Sizes of one fragment's map, elements: the transition of all heads, the state of all heads. */
typedef struct hy_map_size {
    int64_t heads, K, V, a_size; /* a_size per head */
    int64_t A, S;                /* heads·a_size, heads·K·V */
} hy_map_size;

static inline hy_map_size hy_map_size_of(const hy_recur_args *shape) {
    int64_t a = hy_transition_size(shape->decay, shape->rule, shape->K);
    return (hy_map_size){shape->HV, shape->K, shape->V, a, shape->HV * a, shape->HV * shape->K * shape->V};
}

/* out = A·S + H (transpose: Aᵀ·S + H) for all heads; S, H NULL = 0; out aliases neither A nor S. */
void hy_map_step(hy_device *device, const hy_map_size *size, int transpose, const void *A, const void *S, const void *H, void *out);

/* Gathered parts of every rank: fragment (rank, slot) has its A at A + (rank·n_local + slot)·size.A elements, its H likewise with
 * stride h_rank (elements between ranks) and size.S between slots. */
typedef struct hy_gathered_maps {
    const char *A, *H;
    int64_t a_rank, h_rank; /* elements from one rank's block to the next */
} hy_gathered_maps;

/* S_in[slot] of every own fragment that continues, by folding all fragments before it. temp: 2 states. */
void hy_segment_fold_forward(hy_sp *sp, const hy_map_size *size, const hy_gathered_maps *maps, void *S_in, void *temp);
/* dS_out[slot] of every own fragment that flows, by folding all fragments after it; maps->H holds dH. */
void hy_segment_fold_backward(hy_sp *sp, const hy_map_size *size, const hy_gathered_maps *maps, void *dS_out, void *temp);

#endif
