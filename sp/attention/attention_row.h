/* A way to exchange keys and values: what one is, and all there are (methods.h lists them). Functions are called on more than one
 * rank only. */
#ifndef HY_SP_ATTENTION_ROW_H
#define HY_SP_ATTENTION_ROW_H

#include "sp/lists/attention_build.h"

typedef struct hy_sp hy_sp;
typedef struct hy_sp_attn hy_sp_attn;
typedef struct hy_attn_call hy_attn_call;
typedef struct hy_attn_scratch hy_attn_scratch;
typedef struct hy_carve hy_carve;

/* Most hops beside the own one; pieces of rows that go out in all of them; requests under way at once. */
typedef struct hy_attn_others {
    int64_t hops, out, requests;
} hy_attn_others;

/* One that computes whole sequences of some heads instead of hops: the public functions (sp.h), on more than one rank. */
typedef struct hy_attn_by_heads {
    bool near; /* only among ranks that are near each other; a ring between groups of them */
    size_t (*kept)(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape);
    size_t (*work)(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape);
    void (*fwd)(hy_sp *sp, hy_sp_attn *a);
    void (*bwd)(hy_sp *sp, hy_sp_attn *a);
} hy_attn_by_heads;

typedef struct hy_attn_row {
    const char *title, *latent_title; /* in tables of layers */
    const hy_attn_by_heads *by_heads; /* NULL: by hops, as follows; else none of it is there */
    /* lists */
    hy_attn_others (*others)(const hy_sp_method *method, const hy_layout_dims *dims);
    int64_t (*part_rows)(const hy_layout_dims *dims, int64_t window); /* most of a hop's part that is not cut */
    void (*build)(hy_attn_builder *b);                                /* the hops beside the own one */
    /* a call */
    void (*cut)(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                hy_attn_scratch *s);
    void (*post)(hy_attn_call *c); /* what starts to travel before the own keys are computed */
    /* After them, of this call or another with the same arguments: the others' keys, and their gradients home. */
    void (*finish)(hy_attn_call *c);
} hy_attn_row;

#define HY_X(value, name, row) extern const hy_attn_row hy_attn_row_##row;
HY_ATTENTION_METHODS(HY_X)
#undef HY_X
const hy_attn_row *hy_attn_row_of(hy_attention_method method);

#endif
