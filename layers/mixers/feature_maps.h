#ifndef HY_LAYERS_FEATURE_MAPS_H
#define HY_LAYERS_FEATURE_MAPS_H

#include "layers/nodes/nodes.h"

/* Of a learned map; shared by all heads. */
typedef struct hy_feature_weights {
    hy_weight w[2], b[2];
} hy_feature_weights;

/* The map's activation, where that is all it is; else the identity. */
hy_act hy_feature_act(hy_feature_map map);
/* Adds what a learned map needs: name.layer{,1,2}.{weight [K,K],bias [K]}. */
hy_feature_weights hy_feature_params(hy_graph *g, hy_feature_map map, int64_t K, const char *name);
/* The rest of the map on every head of x. */
hy_var hy_feature_build(hy_graph *g, hy_feature_map map, hy_var x, int64_t heads, const hy_feature_weights *weights);

#endif
