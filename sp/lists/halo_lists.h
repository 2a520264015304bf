/* The lists of convolutions with a halo, for lists.c. */
#ifndef HY_SP_HALO_LISTS_H
#define HY_SP_HALO_LISTS_H

#include "sp/lists/lists.h"

/* Bytes of an image that the lists of one width take at most. */
size_t hy_width_lists_bytes(const hy_layout_dims *dims, int64_t width);
/* Most pieces of halos that one rank sends and receives; most rows that come back to it. */
int64_t hy_halo_pieces_max(const hy_layout_dims *dims, int64_t width);
int64_t hy_halo_rows_back_max(const hy_layout_dims *dims, int64_t width);

/* inner_at: [n_local]. */
hy_width_lists hy_width_lists_build(hy_list_image *image, const hy_layout *layout, int64_t width, int64_t *inner_at);

#endif
