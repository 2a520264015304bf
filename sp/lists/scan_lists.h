/* How the maps of fragments are composed in rounds, for lists.c. */
#ifndef HY_SP_SCAN_LISTS_H
#define HY_SP_SCAN_LISTS_H

#include "sp/lists/lists.h"

/* Bytes of an image that they take at most; transfers of one rank in one round, at most. */
size_t hy_scan_lists_bytes(const hy_layout_dims *dims);
int64_t hy_scan_transfers_max(const hy_layout_dims *dims);

/* step: 1 forward, −1 backward. reach: sp/reach.h. */
hy_scan_lists hy_scan_lists_build(hy_list_image *image, const hy_layout *layout, int step, int64_t reach);

#endif
