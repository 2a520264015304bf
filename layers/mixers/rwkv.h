/* What the mixers and the MLPs of RWKV share. */
#ifndef HY_LAYERS_RWKV_H
#define HY_LAYERS_RWKV_H

#include "layers/nodes/nodes.h"

/* W2 act(W1 x) (+ bias): parameters name.lora.0.weight [rank,cols], name.lora.2.weight [out,rank], .bias [out]. */
typedef struct hy_rwkv_lora_shape {
    int64_t rank, out;
    hy_act act;
    bool bias;
} hy_rwkv_lora_shape;
hy_var hy_rwkv_lora(hy_graph *g, hy_var x, const char *name, const hy_rwkv_lora_shape *shape);
/* The bias of such a chain starts by `formula` with parameters a and b. */
void hy_rwkv_start_bias(hy_graph *g, hy_var lora, double (*formula)(const hy_param *p, int64_t index), double a,
                        double b);
/* A parameter of channels n starts as 1 − (n/channels)^exponent. */
void hy_rwkv_start_mix(hy_graph *g, hy_weight mu, double exponent);

/* MLPs of a token and the one before it; relu(·)² in the middle. */
int64_t hy_rwkv_mlp_width(int64_t model_width, double ratio);
hy_var hy_rwkv6_mlp_build(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var x);
hy_var hy_rwkv7_mlp_build(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var x);

#endif
