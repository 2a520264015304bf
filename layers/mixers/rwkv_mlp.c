/* RWKV's MLPs, with x' = x_{t−1}:
 *   rwkv6: σ(W_r(x + (x' − x)⊙μ_r)) ⊙ W_v relu(W_k(x + (x' − x)⊙μ_k))²
 *   rwkv7: W_v relu(W_k(x + (x' − x)⊙x_k))²
 * and the low-rank chains of its mixers. */
#include <math.h>
#include <stdio.h>

#include "layers/mixers/rwkv.h"

hy_var hy_rwkv_lora(hy_graph *g, hy_var x, const char *name, const hy_rwkv_lora_shape *shape) {
    char part[64];
    snprintf(part, sizeof(part), "%s.lora.0", name);
    hy_var low = hy_node_linear(g, x, part, shape->rank, false);
    hy_graph_start(g, low, HY_INIT_ZERO, 0);
    if (shape->act != HY_ACT_IDENTITY) {
        low = hy_node_unary(g, low, shape->act, 1, -INFINITY);
    }
    snprintf(part, sizeof(part), "%s.lora.2", name);
    hy_var y = hy_node_linear(g, low, part, shape->out, shape->bias);
    double wide = (double)shape->rank / (double)shape->out;
    hy_graph_start(g, y, HY_INIT_ORTHOGONAL, 0.1 * (wide > 1 ? sqrt(wide) : 1));
    return y;
}

void hy_rwkv_start_bias(hy_graph *g, hy_var lora, double (*formula)(const hy_param *p, int64_t index), double a,
                        double b) {
    if (lora == HY_NONE) {
        return;
    }
    hy_weight bias = g->nodes[g->vars[lora].producer].w[1];
    hy_graph_formula(g, bias, formula);
    g->params[bias.param].init_a = a;
    g->params[bias.param].init_b = b;
}

static double start_mix(const hy_param *p, int64_t n) {
    return 1 - pow((double)n / (double)p->size, p->init_a);
}

void hy_rwkv_start_mix(hy_graph *g, hy_weight mu, double exponent) {
    if (mu.param != HY_NONE) {
        hy_graph_formula(g, mu, start_mix);
        g->params[mu.param].init_a = exponent;
    }
}

int64_t hy_rwkv_mlp_width(int64_t model_width, double ratio) {
    int64_t wanted = (int64_t)((double)model_width * ratio);
    return 32 * ((wanted + 31) / 32);
}

/* name.linear(x + (x' − x)⊙name.mu) */
static hy_var mixed_linear(hy_graph *g, hy_var x, hy_var before, const char *name, int64_t out) {
    char part[64];
    snprintf(part, sizeof(part), "%s.mu", name);
    hy_weight mu = hy_graph_param(g, part, 1, (int64_t[]){hy_var_cols(g, x)}, HY_INIT_ZERO, false);
    snprintf(part, sizeof(part), "%s.linear", name);
    return hy_node_linear(g, hy_node_lerp_weight(g, x, before, mu), part, out, false);
}

static hy_var squared(hy_graph *g, hy_var x) {
    return hy_node_unary(g, x, HY_ACT_RELU2, 1, -INFINITY);
}

hy_var hy_rwkv6_mlp_build(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var x) {
    (void)layer;
    hy_var before = hy_node_shift(g, x);
    hy_var key = squared(g, mixed_linear(g, x, before, "key", config->mlp_width));
    hy_var value = hy_node_linear(g, key, "value", config->width, false);
    return hy_node_glu(g, value, mixed_linear(g, x, before, "receptance", config->width), HY_ACT_SIGMOID);
}

hy_var hy_rwkv7_mlp_build(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var x) {
    hy_weight mu = hy_graph_param(g, "x_k", 1, &config->width, HY_INIT_FORMULA, false);
    hy_rwkv_start_mix(g, mu, pow(1 - (double)layer / (double)config->layers, 4));
    hy_var key = hy_node_linear(g, hy_node_lerp_weight(g, x, hy_node_shift(g, x), mu), "key", config->mlp_width, false);
    hy_graph_start(g, key, HY_INIT_ORTHOGONAL, 1);
    hy_var value = hy_node_linear(g, squared(g, key), "value", config->width, false);
    hy_graph_start(g, value, HY_INIT_ZERO, 0);
    return value;
}
