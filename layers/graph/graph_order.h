/* The order in which a stretch of nodes runs: nodes of one block, all forward or all backward, some of which exchange.
 *
 * An exchange starts as soon as what it sends can be there: only what its START depends on comes before. It finishes as late as can be:
 * when the next one is to start, or something is to run that depends on it. What needs neither runs in between, and hides it. So one
 * exchange is under way at a time, all ranks start them in the order of the nodes, and none outlives the stretch. Backward the gradients of
 * weights are pieces of their own (weights_apart), which nothing waits for: what comes before an exchange leaves them for it to hide behind.
 *
 * Nodes that touch the same gradient or parameter, one of them writing, keep their order, so every sum is made in the order of the
 * nodes: results do not depend on what is moved. */
#ifndef HY_LAYERS_GRAPH_ORDER_H
#define HY_LAYERS_GRAPH_ORDER_H

#include "layers/graph/graph.h"

typedef enum hy_phase { HY_PHASE_FWD, HY_PHASE_RECOMPUTE, HY_PHASE_BWD } hy_phase;

typedef struct hy_ordered {
    int node;
    hy_sp_part part;
} hy_ordered;

/* Variable whose gradient buffer v's shares. */
hy_var hy_grad_root(const hy_graph *g, hy_var v);
/* nodes [n]: in the order in which they would run alone. out [2n]; *n_out ≤ 2n. A node is there as WHOLE, or as START and FINISH. */
HY_MUST_CHECK hy_status hy_graph_order(const hy_graph *g, hy_phase phase, const int *nodes, int n, hy_ordered *out,
                                       int *n_out);

#endif
