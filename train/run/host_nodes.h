/* Which ranks are near each other, where the configuration leaves it open (parallel.node: auto). */
#ifndef HY_TRAIN_RUN_HOST_NODES_H
#define HY_TRAIN_RUN_HOST_NODES_H

#include "comm/comm.h"

/* The largest n such that ranks [i·n, (i+1)·n), the last of them perhaps fewer, are on one host for every i. host [size]: a number for
 * each rank's. Pure. */
int64_t hy_host_node_ranks(const int64_t *host, int size);

/* That of the ranks that share a sequence; of the mesh's sequences the smallest, so that all ranks have the same. Collective over the
 * mesh's world. */
HY_MUST_CHECK hy_status hy_host_nodes_find(const hy_mesh *mesh, int64_t *node);

#endif
