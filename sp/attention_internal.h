/* What the two methods of sequence-parallel attention share. */
#ifndef HY_SP_ATTENTION_INTERNAL_H
#define HY_SP_ATTENTION_INTERNAL_H

#include "sp/attention_pieces.h"

/* Scratch of one call, cut from args->work. Pointers are NULL where a method has no use for them. */
typedef struct hy_attn_scratch {
    int64_t *lo;         /* [T] first key position of each query */
    char *delta;         /* [T,H] Σ d_o·o */
    char *op_work;       /* of the kernels */
    hy_kv_piece *pieces[4];
    hy_req *reqs[2];     /* transfers of keys and values; of their gradients */
    char *kv[2];         /* ring: incoming K then V rows, double-buffered. all-gather: kv[0] = everyone's */
    char *d_kv[2];       /* gradients of what is in kv */
    char *d_own[2];      /* ring: incoming gradients of own rows */
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
size_t hy_attn_scratch_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, char *base, hy_attn_scratch *scratch);

/* All own queries against one block of keys at global positions begin..begin + rows; d_k, d_v in backward only. */
void hy_attn_block(hy_attn_call *c, int64_t begin, int64_t rows, const char *k, const char *v, char *d_k, char *d_v);

void hy_attn_ring(hy_attn_call *c);
void hy_attn_gather(hy_attn_call *c);

#endif
