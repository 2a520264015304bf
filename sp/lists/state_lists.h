/* The lists of states on their way through fragments, for lists.c. */
#ifndef HY_SP_STATE_LISTS_H
#define HY_SP_STATE_LISTS_H

#include "sp/lists/lists.h"

/* Bytes of an image that they take at most. */
size_t hy_state_lists_bytes(const hy_layout_dims *dims);
size_t hy_level_lists_bytes(const hy_layout_dims *dims, int64_t columns);

/* step: 1 forward, −1 backward. */
hy_state_lists hy_state_lists_build(hy_list_image *image, const hy_layout *layout, int step);
hy_level_lists hy_level_lists_build(hy_list_image *image, const hy_layout *layout, int64_t columns);

/* States that positions of sequences of `len` tokens can have, as far as l has columns for them. */
int64_t hy_level_states(int64_t columns, int64_t len);

#endif
