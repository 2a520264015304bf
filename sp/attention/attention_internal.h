/* What the methods of sequence-parallel attention share. */
#ifndef HY_SP_ATTENTION_INTERNAL_H
#define HY_SP_ATTENTION_INTERNAL_H

#include "sp/attention/attention_row.h"
#include "sp/carve.h"
#include "sp/sp.h"

/* Where hops that follow one another keep what travels: consecutive ones by turns. Rows: K's, then V's. */
typedef struct hy_attn_way {
    char *kv[2];   /* rows that came */
    char *d_kv[2]; /* stat: their gradients */
    char *out;     /* rows that leave */
    char *back;    /* stat: gradients that come back */
} hy_attn_way;

/* Scratch of one call, cut from args->work. Pointers are NULL where a method has no use for them. */
struct hy_attn_scratch {
    char *delta;        /* [T,H] Σ d_o·o */
    char *op_work;      /* of the kernels */
    hy_attn_way way;    /* ring: its hops; node: those inside a node */
    hy_attn_way across; /* node: those between nodes */
    char *everybody[2]; /* all-gather: as hy_attn_way's kv and then back; as its out and then d_kv */
    char *sums
        [3]; /* stat: o, or dq, dk, dv, while pairs add to them; NULL where the results themselves can be added to */
    char *d_carried[2]; /* stat: gradients of carried rows of K, V, which end there */
    /* keys and values made from a latent */
    char *made_k, *made_v; /* [hy_attn_part_rows,HKV,D], ... */
    char *made_d;          /* stat: gradients of the keys, then of the values */
    char *product;         /* [rows of a product,HKV,(D−rope)+DV] */
};

/* One call of either direction. */
struct hy_attn_call {
    hy_sp *sp;
    hy_sp_attn *a;
    hy_layout_dims dims;
    const hy_attn_lists *lists;
    const int64_t *lo; /* device */
    hy_attn_scratch s;
    size_t esize, ssize;  /* bytes of an element: act, stat */
    int64_t k_row, v_row; /* elements of a row of a->k, of a->v: what is exchanged */
    int backward;
    bool apart;             /* calls where what is known is alone */
    char *o, *dq, *dk, *dv; /* stat: what pairs add to; a->o, ... or scratch */
};

/* Rows of K and V, as they are exchanged, and in backward where their gradients are added up. */
typedef struct hy_kv_rows {
    const char *k, *v; /* [rows,k_row], [rows,v_row] */
    char *d_k, *d_v;   /* stat; backward only */
} hy_kv_rows;

/* Pairs of one call, in the device's memory (kernels.h, hy_attn): their number, the most queries and keys of any, what queries see. */
typedef struct hy_attn_pairs {
    const hy_attn_pair *first;
    int64_t n, nq, nk;
    const int64_t *lo;
    hy_attn_sight sight;
    hy_attn_pair known;
} hy_attn_pairs;

void hy_attn_pairs_compute(hy_attn_call *c, const hy_attn_pairs *pairs, const hy_kv_rows *keys);
/* All pairs of a hop, call by call. */
void hy_attn_hop_compute(hy_attn_call *c, const hy_attn_hop *hop, const hy_kv_rows *rows);
/* The pairs of a part whose keys and values begin at `keys`: k [rows,HKV,D], v [rows,HKV,DV]. */
void hy_attn_part_compute(hy_attn_call *c, const hy_attn_part *part, const hy_kv_rows *keys);
/* The same of a part of a latent (attention_latent.c). */
void hy_attn_latent(hy_attn_call *c, const hy_attn_part *part, const hy_kv_rows *rows);
/* The rows from the first-th on, of so many elements each. */
hy_kv_rows hy_attn_rows_from(const hy_attn_call *c, const hy_kv_rows *rows, int64_t first, int64_t k_row,
                             int64_t v_row);
/* This rank's own rows. */
hy_kv_rows hy_attn_own_rows(const hy_attn_call *c);
/* Keys and values that are carried from step to step (attention_carried.c): of the step before into a->kept; what queries see of them, either
 * direction; what the next step sees. */
size_t hy_attn_carried_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape);
void hy_attn_carried_load(hy_attn_call *c);
void hy_attn_carried_compute(hy_attn_call *c);
void hy_attn_carried_store(hy_attn_call *c);
void hy_attn_carried_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                         hy_attn_scratch *scratch);

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

#endif
