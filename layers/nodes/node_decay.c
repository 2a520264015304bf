/* Log decays: learned gates (gated_deltanet, mamba2, kda) and constants per head (retention, lightning). */
#include "layers/nodes/nodes.h"

static hy_decay_gate_args decay_gate_args(const hy_exec *x, const hy_node *node) {
    return (hy_decay_gate_args){.T = x->T,
                                .H = node->attr.decay_gate.H,
                                .K = node->attr.decay_gate.K,
                                .lower_bound = node->attr.decay_gate.lower_bound,
                                .x = hy_value(x, node->in[0]),
                                .A_log = hy_param_value(x, node->w[0]),
                                .dt_bias = hy_param_value(x, node->w[1])};
}

static void decay_gate_fwd(hy_exec *x, const hy_node *node) {
    hy_decay_gate_args a = decay_gate_args(x, node);
    a.g = hy_value(x, node->out[0]);
    hy_decay_gate_fwd(x->device, &a);
}

static void decay_gate_bwd(hy_exec *x, const hy_node *node) {
    hy_decay_gate_args a = decay_gate_args(x, node);
    a.dg = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    a.dA_log = hy_param_grad(x, node->w[0]);
    a.ddt_bias = hy_param_grad(x, node->w[1]);
    hy_decay_gate_bwd(x->device, &a);
}

static const hy_node_class gate_class = {.name = "decay gate",
                                         .light = true,
                                         .bwd_reads_in = 1,
                                         .stat_out = 1,
                                         .fwd = decay_gate_fwd,
                                         .bwd = decay_gate_bwd};

hy_var hy_node_decay_gate(hy_graph *g, hy_var x, int64_t heads, int64_t K, double lower_bound, double a_init_low) {
    hy_weight A_log =
        hy_graph_param(g, "A_log", 1, &heads, lower_bound < 0 ? HY_INIT_ZERO : HY_INIT_LOG_UNIFORM_A, false);
    hy_weight dt_bias = hy_graph_param(g, "dt_bias", 1, (int64_t[]){heads * K}, HY_INIT_DT_BIAS, false);
    hy_var y = hy_graph_var(g, "decay", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &gate_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    g->params[A_log.param].init_a = a_init_low;
    g->params[A_log.param].init_b = 16;
    node->w[0] = A_log;
    node->w[1] = dt_bias;
    node->attr.decay_gate.H = heads;
    node->attr.decay_gate.K = K;
    node->attr.decay_gate.lower_bound = lower_bound;
    return y;
}

static void head_decay_fwd(hy_exec *x, const hy_node *node) {
    char *g = hy_value(x, node->out[0]);
    const int64_t heads = node->attr.head_decay.heads;
    for (int64_t first = 0; first < heads; first += HY_VALUES_MAX) {
        hy_values_args a = {.n = heads - first < HY_VALUES_MAX ? heads - first : HY_VALUES_MAX,
                            .y = g + hy_bytes(x, HY_ROLE_STAT, first),
                            .role = HY_ROLE_STAT};
        for (int64_t h = 0; h < a.n; h++) {
            a.value[h] = node->attr.head_decay.log_decay(first + h, heads, node->attr.head_decay.layer,
                                                         node->attr.head_decay.layers);
        }
        hy_values(x->device, &a);
    }
}

static const hy_node_class head_decay_class = {
    .name = "head decay", .light = true, .stat_out = 1, .fwd = head_decay_fwd};

hy_var hy_node_head_decay(hy_graph *g, double (*log_decay)(int64_t, int64_t, int64_t, int64_t), int64_t heads,
                          int64_t layer, int64_t layers) {
    hy_var y = hy_graph_var(g, "head decay", heads);
    hy_node *node = hy_graph_node(g, &head_decay_class, 0, NULL, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    g->vars[y].per_token = false;
    g->vars[y].has_grad = false;
    node->attr.head_decay.log_decay = log_decay;
    node->attr.head_decay.heads = heads;
    node->attr.head_decay.layer = layer;
    node->attr.head_decay.layers = layers;
    return y;
}
