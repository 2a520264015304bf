/* What the two methods of sequence-parallel attention share. */
#ifndef HY_SP_ATTENTION_INTERNAL_H
#define HY_SP_ATTENTION_INTERNAL_H

#include "sp/attention/attention_pieces.h"
#include "sp/carve.h"

/* Scratch of one call, cut from args->work. Pointers are NULL where a method has no use for them. */
typedef struct hy_attn_scratch {
    int64_t *lo;   /* [T] first key position of each query */
    char *delta;   /* [T,H] Σ d_o·o */
    char *op_work; /* of the kernels */
    hy_kv_piece *pieces[4];
    hy_req *reqs[2]; /* transfers of keys and values; of their gradients */
    char *kv[2];     /* ring: incoming K then V rows, double-buffered. all-gather: kv[0] = everyone's, in the end
                        everyone's gradients of own rows */
    char *d_kv[2];   /* stat: gradients of what is in kv */
    char *d_own[2];  /* stat: ring: incoming gradients of own rows */
    char *sums
        [3]; /* stat: o, or dq, dk, dv, while blocks add to them; NULL where the results themselves can be added to */
    /* keys and values made from a latent */
    char *made_k, *made_v, *made_dk, *made_dv; /* [hy_latent_block_rows,HKV,D], ...; gradients stat */
    char *product;                             /* [hy_latent_slice_rows,HKV,(D−rope)+DV] */
} hy_attn_scratch;

/* One call of either direction. */
typedef struct hy_attn_call {
    hy_sp *sp;
    hy_sp_attn *a;
    hy_layout_dims dims;
    hy_attn_scratch s;
    size_t esize, ssize;  /* bytes of an element: act, stat */
    int64_t k_row, v_row; /* elements of a row of a->k, of a->v: what is exchanged */
    int backward;
    char *o, *dq, *dk, *dv; /* stat: what blocks add to; a->o, ... or scratch */
} hy_attn_call;

/* Bytes of work, and, if call is not NULL, its scratch pointers from base. */
size_t hy_attn_scratch_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, char *base,
                           hy_attn_scratch *scratch);

/* Rows of K and V, as they are exchanged, at global positions begin..begin + rows − 1, and in backward where their
 * gradients are added up. */
typedef struct hy_kv_block {
    int64_t begin, rows;
    const char *k, *v; /* [rows,k_row], [rows,v_row] */
    char *d_k, *d_v;   /* stat; backward only */
} hy_kv_block;

/* All own queries that see any of the block. */
void hy_attn_block(hy_attn_call *c, const hy_kv_block *block);
/* The same for a block of keys and values themselves: k [rows,HKV,D], v [rows,HKV,DV]. */
void hy_attn_keys(hy_attn_call *c, const hy_kv_block *block);
/* The same for rows of a latent (attention_latent.c). */
void hy_attn_latent(hy_attn_call *c, const hy_kv_block *block);
/* The first key position in [begin, end) that some own query sees; end if there is none. */
int64_t hy_attn_first_seen(const hy_attn_call *c, int64_t begin, int64_t end);
/* Cuts the scratch of hy_attn_latent. */
void hy_latent_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                   hy_attn_scratch *scratch);
/* Elements of what is exchanged per token. */
static inline int64_t hy_attn_k_row(const hy_sp_attn *a) {
    return a->latent.rank > 0 ? a->latent.rank : a->HKV * a->D;
}
static inline int64_t hy_attn_v_row(const hy_sp_attn *a) {
    return a->latent.rank > 0 ? a->latent.rope : a->HKV * a->DV;
}
/* Each own fragment's keys. */
void hy_attn_own_blocks(hy_attn_call *c);

void hy_attn_ring(hy_attn_call *c);
void hy_attn_gather(hy_attn_call *c);

#endif
