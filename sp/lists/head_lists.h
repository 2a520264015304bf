/* The lists of head exchanges (sp/head_exchange.h), for lists.c. */
#ifndef HY_SP_HEAD_LISTS_H
#define HY_SP_HEAD_LISTS_H

#include "sp/lists/lists.h"

/* The layout of what a rank sees of tokens when `members` consecutive ranks change tokens for heads: all tokens of these ranks. */
hy_layout_dims hy_head_outer(const hy_layout_dims *dims, int members);
/* Entries of a rank's buffer: one is a head of a token. */
int64_t hy_head_buffer_entries(const hy_layout_dims *dims, int members, const hy_heads *heads, hy_head_kind kind);

/* Bytes of an image that the lists take at most. */
size_t hy_head_lists_bytes(const hy_layout_dims *dims, int members);
/* outer: as hy_head_outer says. */
hy_head_lists hy_head_lists_build(hy_list_image *image, const hy_layout *layout, const hy_layout *outer,
                                  const hy_head_need *need);

#endif
