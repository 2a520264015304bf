/* The table of channel-mixing halves of a block. All layers of a model have the same kind (model.mlp.kind). */
#ifndef HY_LAYERS_MLP_H
#define HY_LAYERS_MLP_H

#include "layers/nodes/nodes.h"

typedef struct hy_mlp_row {
    const char *kind, *help;
    const char *norm, *part; /* names: model.layers.N.<norm>.weight, model.layers.N.<part><parameter> */
    int64_t (*width)(int64_t model_width, double ratio); /* hidden channels, unless model.mlp.width says so */
    /* Adds its nodes for input x (already normed) and returns its output, both [T,width]. */
    hy_var (*build)(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var x);
} hy_mlp_row;

/* NULL if there is no such row. */
const hy_mlp_row *hy_mlp_row_find(const char *kind);
/* The i-th row, NULL past the last. */
const hy_mlp_row *hy_mlp_row_at(int i);

#endif
