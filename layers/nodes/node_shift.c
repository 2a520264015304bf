/* Token shift and interpolation: y_t = x_{t−1}, a convolution with the taps (1, 0), and y = x + (z − x) ⊙ m. */
#include <stddef.h>

#include "layers/nodes/nodes.h"

/* [cols,2], each channel (1, 0). */
static void taps_fwd(hy_exec *x, const hy_node *node) {
    char *taps = hy_value(x, node->out[0]);
    int64_t n = x->graph->vars[node->out[0]].cols;
    hy_values(x->device, &(hy_values_args){.n = n < 2 ? n : 2, .value = {1, 0}, .y = taps, .role = HY_ROLE_STAT});
    hy_copy2d(x->device, &(hy_copy2d_args){.rows = n / 2 - 1,
                                           .cols = 2,
                                           .src_ld = 0,
                                           .dst_ld = 2,
                                           .src = taps,
                                           .dst = taps + hy_bytes(x, HY_ROLE_STAT, 2),
                                           .from = HY_ROLE_STAT,
                                           .to = HY_ROLE_STAT});
}

static const hy_node_class taps_class = {.name = "shift taps", .light = true, .stat_out = 1, .fwd = taps_fwd};

hy_var hy_node_shift(hy_graph *g, hy_var x) {
    hy_var taps = hy_graph_var(g, "shift taps", 2 * hy_var_cols(g, x));
    if (!hy_graph_node(g, &taps_class, 0, NULL, 1, &taps)) {
        return HY_NONE;
    }
    g->vars[taps].per_token = false;
    return hy_node_conv_by(g, x, taps, 2);
}

static hy_lerp_args lerp_args(const hy_exec *x, const hy_node *node) {
    bool shared = node->in[2] == HY_NONE;
    return (hy_lerp_args){.rows = x->T,
                          .cols = x->graph->vars[node->out[0]].cols,
                          .shared = shared,
                          .x = hy_value(x, node->in[0]),
                          .z = hy_value(x, node->in[1]),
                          .m = shared ? hy_param_value(x, node->w[0]) : hy_value(x, node->in[2])};
}

static void lerp_fwd(hy_exec *x, const hy_node *node) {
    hy_lerp_args a = lerp_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_lerp_fwd(x->device, &a);
}

static void lerp_bwd(hy_exec *x, const hy_node *node) {
    hy_lerp_args a = lerp_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.dz = hy_grad(x, node->in[1]);
    a.dm = a.shared ? hy_param_grad(x, node->w[0]) : hy_grad(x, node->in[2]);
    a.acc_x = hy_acc(x, node, 0);
    a.acc_z = hy_acc(x, node, 1);
    a.acc_m = hy_acc(x, node, 2);
    hy_lerp_bwd(x->device, &a);
}

static const hy_node_class lerp_class = {
    .name = "lerp", .light = true, .bwd_reads_in = 7, .fwd = lerp_fwd, .bwd = lerp_bwd};

static hy_var add_lerp(hy_graph *g, hy_var x, hy_var z, hy_var m, hy_weight w) {
    hy_var y = hy_graph_var(g, "lerp", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &lerp_class, 3, (hy_var[]){x, z, m}, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->w[0] = w;
    return y;
}

hy_var hy_node_lerp(hy_graph *g, hy_var x, hy_var z, hy_var m) {
    return add_lerp(g, x, z, m, (hy_weight){HY_NONE, 0});
}

hy_var hy_node_lerp_weight(hy_graph *g, hy_var x, hy_var z, hy_weight m) {
    return add_lerp(g, x, z, HY_NONE, m);
}
