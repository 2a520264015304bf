/* Building attention lists, for attention_lists.c and the methods (attention_row.h): hop by hop, block of keys by block of keys. */
#ifndef HY_SP_ATTENTION_BUILD_H
#define HY_SP_ATTENTION_BUILD_H

#include "sp/lists/attention_lists.h"

static inline int64_t hy_lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t hy_greater(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Calls of the pairs so far. */
typedef struct hy_attn_calls {
    int64_t n;
    hy_attn_group *group; /* NULL: the next pair begins one */
    int64_t products;     /* of the group's */
} hy_attn_calls;

typedef struct hy_attn_builder {
    hy_attn_lists *lists;
    const hy_profile *profile;
    hy_list_image *image;
    const hy_layout *layout;
    hy_layout_dims dims;
    const int64_t *lo;
    int64_t n_pairs, n_parts;
    hy_attn_hop *hop; /* the one at hand, as what follows */
    hy_attn_part *part;
    hy_attn_calls calls, apart;
} hy_attn_builder;

/* How many ranges queries are cut into at most. */
int64_t hy_attn_tiles_max(const hy_profile *profile, const hy_layout_dims *dims);

/* The next hop. */
void hy_attn_hop_begin(hy_attn_builder *b);
/* Rows that come from rank `from`, as they lie in its message. */
void hy_attn_hop_in(hy_attn_builder *b, int from, const hy_kv_piece *pieces, int64_t n);
/* What the hop computes: keys at row `at` of what it is computed of. */
void hy_attn_hop_keys(hy_attn_builder *b, const hy_kv_piece *pieces, int64_t n);
/* Rows that go to rank `to`, from row `local` of the hop's source to row `at` of the message. */
void hy_attn_hop_out(hy_attn_builder *b, int to, const hy_kv_piece *pieces, int64_t n);
/* A hop for every other rank, by distance: hop h brings what this rank sees of rank − h, and takes to rank + h what that one sees. */
void hy_attn_build_pairwise(hy_attn_builder *b);

#endif
