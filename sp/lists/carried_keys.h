/* The list of keys that queries see of the step before, for lists.c. */
#ifndef HY_SP_CARRIED_KEYS_H
#define HY_SP_CARRIED_KEYS_H

#include "sp/lists/lists.h"

/* Bytes of an image that it takes at most. */
size_t hy_carried_keys_bytes(const hy_layout_dims *dims);
/* window > 0; no fragment is shorter than window − 1. */
hy_carried_keys hy_carried_keys_build(hy_list_image *image, const hy_layout *layout, int64_t window);

#endif
