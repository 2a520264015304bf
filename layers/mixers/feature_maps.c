/* Feature maps of queries and keys, one row each: learned layers per head, an activation, a fixed map of a head's channels to more. */
#include <math.h>
#include <stdio.h>

#include "layers/mixers/feature_maps.h"

typedef struct feature_row {
    hy_act act;   /* elementwise maps, applied where q and k are made */
    int layers;   /* learned K×K maps: 1, or 2 whose products count */
    bool bias;    /* in them */
    hy_act after; /* on what they give */
    bool fixed;
    hy_feature_kind kind; /* of the fixed map, which comes last */
} feature_row;

static const feature_row features[] = {
    [HY_FEATURE_RELU] = {.act = HY_ACT_RELU},
    [HY_FEATURE_SILU] = {.act = HY_ACT_SILU},
    [HY_FEATURE_ELU] = {.act = HY_ACT_ELU1},
    [HY_FEATURE_PRODUCT] = {.layers = 2, .bias = true},
    [HY_FEATURE_HEDGEHOG] = {.layers = 1, .bias = true, .fixed = true, .kind = HY_FEATURES_HEDGEHOG},
    [HY_FEATURE_T2R] = {.layers = 1, .after = HY_ACT_RELU},
    [HY_FEATURE_DPFP] = {.fixed = true, .kind = HY_FEATURES_DPFP},
    [HY_FEATURE_TAYLOR] = {.fixed = true, .kind = HY_FEATURES_TAYLOR},
    [HY_FEATURE_SQUARE] = {.fixed = true, .kind = HY_FEATURES_SQUARE},
};

static const feature_row *row_of(hy_feature_map map) {
    return &features[map < (hy_feature_map)(sizeof(features) / sizeof(features[0])) ? map : HY_FEATURE_IDENTITY];
}

hy_act hy_feature_act(hy_feature_map map) {
    return row_of(map)->act;
}

hy_feature_weights hy_feature_params(hy_graph *g, hy_feature_map map, int64_t K, const char *name) {
    const feature_row *row = row_of(map);
    hy_feature_weights weights = {{{HY_NONE, 0}, {HY_NONE, 0}}, {{HY_NONE, 0}, {HY_NONE, 0}}};
    for (int i = 0; i < row->layers; i++) {
        char full[64], number[2] = {row->layers > 1 ? (char)('1' + i) : '\0', '\0'};
        snprintf(full, sizeof(full), "%s.layer%s.weight", name, number);
        weights.w[i] = hy_graph_param(g, full, 2, (int64_t[]){K, K}, HY_INIT_NORMAL, true);
        if (row->bias) {
            snprintf(full, sizeof(full), "%s.layer%s.bias", name, number);
            weights.b[i] = hy_graph_param(g, full, 1, &K, HY_INIT_ZERO, false);
        }
    }
    return weights;
}

hy_var hy_feature_build(hy_graph *g, hy_feature_map map, hy_var x, int64_t heads, const hy_feature_weights *weights) {
    const feature_row *row = row_of(map);
    int64_t K = hy_var_cols(g, x) / heads;
    hy_var y = row->layers > 0 ? hy_node_linear_heads(g, x, heads, weights->w[0], weights->b[0], K) : x;
    if (row->layers > 1) {
        y = hy_node_glu(g, y, hy_node_linear_heads(g, x, heads, weights->w[1], weights->b[1], K), HY_ACT_IDENTITY);
    }
    if (row->after != HY_ACT_IDENTITY) {
        y = hy_node_unary(g, y, row->after, 1, -INFINITY);
    }
    return row->fixed ? hy_node_feature(g, y, row->kind, K) : y;
}
