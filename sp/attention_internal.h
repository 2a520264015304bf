/* What the two methods of sequence-parallel attention share. */
#ifndef HY_SP_ATTENTION_INTERNAL_H
#define HY_SP_ATTENTION_INTERNAL_H

#include "sp/attention_pieces.h"
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
    char *d_kv[2];   /* gradients of what is in kv */
    char *d_own[2];  /* ring: incoming gradients of own rows */
} hy_attn_scratch;

/* One call of either direction. */
typedef struct hy_attn_call {
    hy_sp *sp;
    hy_sp_attn *a;
    hy_layout_dims dims;
    hy_attn_scratch s;
    size_t esize;
    int64_t k_row, v_row; /* elements of a row of K (HKV·D), of V (HKV·DV) */
    int backward;
} hy_attn_call;

/* Bytes of work, and, if call is not NULL, its scratch pointers from base. */
size_t hy_attn_scratch_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, char *base,
                           hy_attn_scratch *scratch);

/* Keys and values at global positions begin..begin + rows − 1, and in backward where their gradients are added up. */
typedef struct hy_kv_block {
    int64_t begin, rows;
    const char *k, *v; /* [rows,HKV,D], [rows,HKV,DV] */
    char *d_k, *d_v;   /* backward only */
} hy_kv_block;

/* All own queries that see any of the block. */
void hy_attn_block(hy_attn_call *c, const hy_kv_block *block);
/* Each own fragment's keys; in backward their gradients go to d_k, d_v [T,...]. */
void hy_attn_own_blocks(hy_attn_call *c, char *d_k, char *d_v);

void hy_attn_ring(hy_attn_call *c);
void hy_attn_gather(hy_attn_call *c);

#endif
