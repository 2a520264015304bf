/* Building attention lists, for attention_lists.c and the methods (attention_row.h): hop by hop, block of keys by block of keys. */
#ifndef HY_SP_ATTENTION_BUILD_H
#define HY_SP_ATTENTION_BUILD_H

#include "sp/lists/attention_lists.h"

typedef struct hy_attn_builder {
    hy_attn_lists *lists;
    const hy_profile *profile;
    hy_list_image *image;
    const hy_layout *layout;
    hy_layout_dims dims;
    const int64_t *lo;
    int64_t n_pairs, n_groups, n_parts, n_pieces;
    hy_attn_hop *hop; /* the one at hand, as the two that follow */
    hy_attn_part *part;
    hy_attn_group *group; /* NULL: the next pair begins one */
    int64_t group_products;
} hy_attn_builder;

/* A block of keys: rows at global positions begin.., the first of them row `row` of the hop's keys. */
typedef struct hy_key_block {
    int64_t begin, rows, row;
} hy_key_block;

/* How many ranges queries are cut into at most. */
int64_t hy_attn_tiles_max(const hy_profile *profile, const hy_layout_dims *dims);

/* The next hop. */
void hy_attn_hop_begin(hy_attn_builder *b, int from, int to);
/* A block of the hop's keys; `whole`: the rows of the part it belongs to, where nothing is cut. */
void hy_attn_hop_block(hy_attn_builder *b, const hy_key_block *block, const hy_key_block *whole);
/* Where gradients of own rows that others computed in this hop belong; `blocks`: a part of the image. */
void hy_attn_hop_home(hy_attn_builder *b, const hy_row_block *blocks, int64_t n);

#endif
