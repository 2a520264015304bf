/* Decays with learned lower bounds: the bound of a layer from the model's one parameter, and the gate above it. The parameter
 * belongs to no block; every layer that reads it adds to its gradient. */
#include <stddef.h>

#include "layers/nodes/nodes.h"

static hy_bound_args bound_args(const hy_exec *x, const hy_node *node) {
    return (hy_bound_args){.layers = node->attr.lower_bound.layers,
                           .layer = node->attr.lower_bound.layer,
                           .C = x->graph->vars[node->out[0]].cols,
                           .w = hy_param_value(x, node->w[0])};
}

static void bound_fwd(hy_exec *x, const hy_node *node) {
    hy_bound_args a = bound_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_bound_fwd(x->device, &a);
}

static void bound_bwd(hy_exec *x, const hy_node *node) {
    hy_bound_args a = bound_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dw = hy_param_grad(x, node->w[0]);
    hy_bound_bwd(x->device, &a);
}

static const hy_node_class bound_class = {
    .name = "lower bound", .light = true, .stat_out = 1, .fwd = bound_fwd, .bwd = bound_bwd};

hy_var hy_node_lower_bound(hy_graph *g, hy_weight bounds, int64_t cols, int64_t layer, int64_t layers) {
    hy_var y = hy_graph_var(g, "lower bound", cols);
    hy_node *node = hy_graph_node(g, &bound_class, 0, NULL, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    g->vars[y].per_token = false;
    node->w[0] = bounds;
    node->attr.lower_bound.layer = layer;
    node->attr.lower_bound.layers = layers;
    return y;
}

static hy_bound_gate_args bound_gate_args(const hy_exec *x, const hy_node *node) {
    return (hy_bound_gate_args){.T = x->T,
                                .C = x->graph->vars[node->in[0]].cols,
                                .x = hy_value(x, node->in[0]),
                                .bound = hy_value(x, node->in[1])};
}

static void bound_gate_fwd(hy_exec *x, const hy_node *node) {
    hy_bound_gate_args a = bound_gate_args(x, node);
    a.g = hy_value(x, node->out[0]);
    a.k = hy_value(x, node->out[1]);
    hy_bound_gate_fwd(x->device, &a);
}

static void bound_gate_bwd(hy_exec *x, const hy_node *node) {
    hy_bound_gate_args a = bound_gate_args(x, node);
    a.dg = hy_grad(x, node->out[0]);
    a.dk = hy_grad(x, node->out[1]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    a.dbound = hy_grad(x, node->in[1]);
    if (a.dbound && !hy_acc(x, node, 1)) {
        hy_fill(x->device, &(hy_fill_args){.n = a.C, .y = a.dbound, .role = HY_ROLE_STAT});
    }
    hy_bound_gate_bwd(x->device, &a);
}

static const hy_node_class gate_class = {.name = "bounded gate",
                                         .light = true,
                                         .bwd_reads_in = 3,
                                         .stat_in = 2,
                                         .stat_out = 1,
                                         .fwd = bound_gate_fwd,
                                         .bwd = bound_gate_bwd};

hy_var hy_node_bounded_gate(hy_graph *g, hy_var x, hy_var bound, hy_var *k) {
    hy_var out[2] = {hy_graph_var(g, "decay", hy_var_cols(g, x)), hy_graph_var(g, "1 - decay", hy_var_cols(g, x))};
    *k = out[1];
    return hy_graph_node(g, &gate_class, 2, (hy_var[]){x, bound}, 2, out) ? out[0] : HY_NONE;
}
