/* What a fragment does to the state that passes it: S_out = A·S_in + H, per head. H is the state that the fragment
 * makes from zero. Maps compose, (A2,H2)∘(A1,H1) = (A2·A1, A2·H1 + H2); an empty fragment is the identity; where a
 * document starts inside the fragment, nothing of S_in leaves it. Backward is the same with adjoints from the other
 * end: dS_in = Aᵀ·dS_out + dH.
 *
 * So both directions are one walk over the fragments, `step` = 1 or −1: a state enters a fragment whose document began
 * before it in that direction, leaves one whose document goes on, and passes one that holds nothing but the middle of
 * one document. Only there A matters. Nor does one pass a fragment that it would not outlast (reach.h). */
#ifndef HY_SP_SEGMENT_MAP_H
#define HY_SP_SEGMENT_MAP_H

#include "kernels/kernels.h"
#include "sp/layout.h"
#include "sp/lists/lists.h"
#include "sp/reach.h"

static inline bool hy_segment_enters(const hy_fragment *f, int step) {
    return step > 0 ? f->continues : f->flows;
}

static inline bool hy_segment_leaves(const hy_fragment *f, int step) {
    return hy_segment_enters(f, -step);
}

static inline bool hy_segment_passes(const hy_fragment *f, int64_t reach) {
    return f->single && f->continues && f->flows && hy_reach_passes(reach, f->len);
}

/* Sizes of one fragment's map. */
typedef struct hy_segment_shape {
    int64_t HV, K, V, a_size; /* a_size: hy_transition_size */
    size_t a_bytes, h_bytes;  /* of A [HV,a_size] and of what passes: a state [HV,K,V], or `levels` of them */
    double log_decay;         /* of one token, the largest of any head; 0: not known beforehand */
    int64_t levels; /* 0: one state. Else the states of a position's set bits (hy_level_recur), bit b at index b */
} hy_segment_shape;

hy_segment_shape hy_segment_shape_of(const hy_recur_args *op, hy_dtype dtype);
/* The same with `levels` states. */
hy_segment_shape hy_segment_shape_leveled(const hy_segment_shape *one, int64_t levels);

/* Elements of what passes, h_bytes in all. */
int64_t hy_segment_elements(const hy_segment_shape *shape);

/* One state: out = A·S + H (step 1) or Aᵀ·S + H (step −1). out may be H. */
void hy_segment_apply(hy_device *device, const hy_segment_shape *shape, int step, const void *A, const void *S,
                      const void *H, void *out);
/* n of what passes. */
void hy_segment_copy(hy_device *device, const hy_segment_shape *shape, int64_t n, const void *from, void *to);

/* Maps of fragments, those of a group (a rank's, by slot) together. */
typedef struct hy_segment_maps {
    hy_segment_shape shape;
    const char *A; /* [.,HV,a_size] */
    char *H;       /* group r's [group,HV,K,V] at element r·group_ld; the fold works in it */
    int64_t group, group_ld;
} hy_segment_maps;

/* The steps of a list (kernels.h, hy_map_fold): `in` [n_local,...] receives the states that enter own fragments. */
void hy_segment_fold(hy_device *device, const hy_fold_list *list, int step, const hy_segment_maps *maps, char *in);

#endif
