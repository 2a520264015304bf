/* How states pass from node to node, for lists.c. Ranks [i·node, (i+1)·node) are a node; each of them knows the maps of all of
 * the node's fragments. */
#ifndef HY_SP_RELAY_LISTS_H
#define HY_SP_RELAY_LISTS_H

#include "sp/lists/lists.h"

/* Bytes of an image that they take at most; messages of one rank in one direction, at most. */
size_t hy_relay_lists_bytes(const hy_layout_dims *dims, int node);
int64_t hy_relay_messages_max(const hy_layout_dims *dims, int node);

/* step: 1 forward, −1 backward. node: ranks of one. reach: sp/reach.h. */
hy_relay_lists hy_relay_lists_build(hy_list_image *image, const hy_layout *layout, int step, int node, int64_t reach);

#endif
