/* The lists of states on their way through fragments, for lists.c. */
#ifndef HY_SP_STATE_LISTS_H
#define HY_SP_STATE_LISTS_H

#include "sp/lists/lists.h"

/* Bytes of an image that they take at most. */
size_t hy_level_lists_bytes(const hy_layout_dims *dims, int64_t columns, bool carries);

/* carries: of fragments that end a sequence too. */
hy_level_lists hy_level_lists_build(hy_list_image *image, const hy_layout *layout, int64_t columns, bool carries);

/* Steps of an array in the image. */
hy_fold_list hy_fold_list_of(const hy_list_image *image, const hy_fold_step *host, int64_t n);

/* States that positions of sequences of `len` tokens can have, as far as l has columns for them; all of those where documents go on. */
int64_t hy_level_states(int64_t columns, int64_t len, bool carries);

#endif
