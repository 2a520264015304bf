/* What a token adds to its own output past the state (rwkv6, rwkv7): (Σ_K r⊙u⊙k)·v per head, with u a parameter. */
#include "layers/nodes/nodes.h"

static hy_bonus_args bonus_args(const hy_exec *x, const hy_node *node) {
    int64_t H = node->attr.bonus.H;
    return (hy_bonus_args){.T = x->T,
                           .H = H,
                           .K = x->graph->vars[node->in[0]].cols / H,
                           .V = x->graph->vars[node->in[2]].cols / H,
                           .r = hy_value(x, node->in[0]),
                           .k = hy_value(x, node->in[1]),
                           .v = hy_value(x, node->in[2]),
                           .u = hy_param_value(x, node->w[0])};
}

static void bonus_fwd(hy_exec *x, const hy_node *node) {
    hy_bonus_args a = bonus_args(x, node);
    a.o = hy_value(x, node->out[0]);
    hy_bonus_fwd(x->device, &a);
}

static void bonus_bwd(hy_exec *x, const hy_node *node) {
    hy_bonus_args a = bonus_args(x, node);
    a.d_o = hy_grad(x, node->out[0]);
    a.dr = hy_grad(x, node->in[0]);
    a.dk = hy_grad(x, node->in[1]);
    a.dv = hy_grad(x, node->in[2]);
    a.acc_r = hy_acc(x, node, 0);
    a.acc_k = hy_acc(x, node, 1);
    a.acc_v = hy_acc(x, node, 2);
    a.du = hy_param_grad(x, node->w[0]);
    hy_bonus_bwd(x->device, &a);
}

static const hy_node_class bonus_class = {
    .name = "bonus", .light = true, .bwd_reads_in = 7, .fwd = bonus_fwd, .bwd = bonus_bwd};

hy_var hy_node_bonus(hy_graph *g, hy_var r, hy_var k, hy_var v, hy_weight u, int64_t heads) {
    hy_var y = hy_graph_var(g, "bonus", hy_var_cols(g, v));
    hy_node *node = hy_graph_node(g, &bonus_class, 3, (hy_var[]){r, k, v}, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->w[0] = u;
    node->attr.bonus.H = heads;
    return y;
}
