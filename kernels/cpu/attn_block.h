/* One pair of an attention list with every array's pointer at the pair's first row: what attention on the host works on. */
#ifndef HY_KERNELS_CPU_ATTN_BLOCK_H
#define HY_KERNELS_CPU_ATTN_BLOCK_H

#include "kernels/kernels.h"

/* As hy_attn_args, of one pair. Arrays that the caller has no use for are NULL. */
typedef struct hy_attn_block {
    int64_t H, HKV, D, DV;
    double scale;
    int64_t nq, q_begin, nk, k_begin;
    const int64_t *lo;  /* [nq] */
    const void *q;      /* [nq,H,D] */
    const void *k;      /* [nk,HKV,D] */
    const void *v;      /* [nk,HKV,DV] */
    void *o;            /* [nq,H,DV] stat */
    void *lse;          /* [nq,H] stat */
    const void *d_o;    /* [nq,H,DV] */
    const void *delta;  /* [nq,H] stat */
    void *dq, *dk, *dv; /* stat */
    void *work;
} hy_attn_block;

static inline void *hy_attn_at(const void *array, int64_t elements, size_t size) {
    return array == NULL ? NULL : (char *)array + (size_t)elements * size;
}

/* act, stat: bytes of an element. */
static inline hy_attn_block hy_attn_block_of(const hy_attn_args *a, int64_t pair, size_t act, size_t stat) {
    const hy_attn_pair *p = &a->pairs[pair];
    const int64_t row = p->q * a->H, key_row = p->k * a->HKV;
    return (hy_attn_block){.H = a->H,
                           .HKV = a->HKV,
                           .D = a->D,
                           .DV = a->DV,
                           .scale = a->scale,
                           .nq = p->nq,
                           .q_begin = p->q_begin,
                           .nk = p->nk,
                           .k_begin = p->k_begin,
                           .lo = a->lo + p->q,
                           .q = hy_attn_at(a->q, row * a->D, act),
                           .k = hy_attn_at(a->k, key_row * a->D, act),
                           .v = hy_attn_at(a->v, key_row * a->DV, act),
                           .o = hy_attn_at(a->o, row * a->DV, stat),
                           .lse = hy_attn_at(a->lse, row, stat),
                           .d_o = hy_attn_at(a->d_o, row * a->DV, act),
                           .delta = hy_attn_at(a->delta, row, stat),
                           .dq = hy_attn_at(a->dq, row * a->D, stat),
                           .dk = hy_attn_at(a->dk, key_row * a->D, stat),
                           .dv = hy_attn_at(a->dv, key_row * a->DV, stat),
                           .work = a->work};
}

/* One pair after the other: each sees what those before it added. */
static inline void hy_attn_each_pair(const hy_attn_args *a, size_t act, size_t stat,
                                     void (*compute)(const hy_attn_block *)) {
    for (int64_t i = 0; i < a->n_pairs; i++) {
        const hy_attn_block block = hy_attn_block_of(a, i, act, stat);
        compute(&block);
    }
}

#endif
