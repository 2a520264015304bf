/* What nodes carry from step to step (model.h), in one block: for each node that has any, an entry per sequence. */
#ifndef HY_LAYERS_GRAPH_CARRY_H
#define HY_LAYERS_GRAPH_CARRY_H

#include "layers/graph/graph.h"

typedef struct hy_graph_carry {
    int n_nodes;
    int64_t n_seq, bytes, sequence; /* of the block; of one sequence */
    int64_t *offset, *entry;        /* [n_nodes] in the block, in bytes; bytes of a sequence's entry */
} hy_graph_carry;

/* HY_ERR_USAGE, naming the layer, where a node looks at earlier tokens in a way that is not carried, or its rows are more than a
 * fragment has. Local. */
HY_MUST_CHECK hy_status hy_graph_carry_init(const hy_graph *graph, const hy_sizing *sizing,
                                            const hy_model_config *config, const hy_lists_needs *needs,
                                            hy_graph_carry *carry);
void hy_graph_carry_fini(hy_graph_carry *carry);

#endif
