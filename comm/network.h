/* Messages on a simulated network, in simulated time. Ranks are cut into nodes of `node` consecutive ones, nodes into leaves of `leaf` consecutive
 * ones: those under one switch of a fat tree; with `rails` under as many switches as a node has ranks, the i-th rank of each node under the i-th.
 *
 * A message takes the latency of its level, then its bytes flow: out of the sender's port, into the receiver's, between nodes through
 * the two nodes' uplinks, and between switches through the two switches' trunks. Each of these is shared evenly by what flows through it; a
 * message flows at the least of its shares. The bisection of two leaves is a trunk, or with rails as many as there are. */
#ifndef HY_COMM_NETWORK_H
#define HY_COMM_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_NEAR, HY_FAR, HY_LEVELS }; /* inside a node, between nodes */

typedef struct hy_network_shape {
    int node;                                        /* ranks of a node; 0: all are in one */
    double latency[HY_LEVELS], bandwidth[HY_LEVELS]; /* seconds; bytes per second of a rank's port, each way */
    double uplink;        /* bytes per second of a node, each way; 0: as much as its ranks' ports */
    int leaf;             /* nodes of a leaf; 0: all are under one switch, or with rails under one for each */
    int rails;            /* 0 or 1 */
    double trunk;         /* bytes per second of a switch to the others, each way; 0: as much as its ports */
    double trunk_latency; /* seconds more, between switches */
} hy_network_shape;

typedef struct hy_network hy_network;

HY_MUST_CHECK hy_status hy_network_create(const hy_network_shape *shape, int ranks, hy_network **out);
void hy_network_destroy(hy_network *network); /* NULL allowed */

/* A message that leaves at `now`, not before what was told last. `id` is told when it arrives. HY_ERR_MEMORY. */
HY_MUST_CHECK hy_status hy_network_send(hy_network *network, double now, int from, int to, int64_t bytes, int64_t id);
/* When the next thing happens to what was sent, if anything is under way (*moves). HY_ERR_MEMORY. */
HY_MUST_CHECK hy_status hy_network_next(hy_network *network, bool *moves, double *when);
/* Lets it happen, having asked when. The message that arrives then, or -1. */
int64_t hy_network_go_on(hy_network *network);

#endif
