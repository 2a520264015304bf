/* The folds of states that go on from step to step, for lists.c. */
#ifndef HY_SP_CARRIED_FOLDS_H
#define HY_SP_CARRIED_FOLDS_H

#include "sp/lists/lists.h"

/* Bytes of an image that they take at most. */
size_t hy_carried_folds_bytes(const hy_layout_dims *dims);
hy_carried_folds hy_carried_folds_build(hy_list_image *image, const hy_layout *layout);

#endif
