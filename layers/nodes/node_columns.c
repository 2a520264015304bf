/* Nodes on columns: splitting a joined projection, learned factors per channel. */
#include "layers/nodes/nodes.h"

/* ---- split: the backward writes every column of the joined gradient ---- */

/* One strided copy per piece, from the joined array or back. */
static void copy_pieces(hy_exec *x, const hy_node *node, bool backward, int acc) {
    int64_t all = x->graph->vars[node->in[0]].cols, begin = 0;
    for (int i = 0; i < node->n_out; i++) {
        int64_t cols = x->graph->vars[node->out[i]].cols;
        char *joined =
            (char *)(backward ? hy_grad(x, node->in[0]) : hy_value(x, node->in[0])) + hy_bytes(x, HY_ROLE_ACT, begin);
        void *piece = backward ? hy_grad(x, node->out[i]) : hy_value(x, node->out[i]);
        hy_copy2d(x->device, &(hy_copy2d_args){.rows = x->T,
                                               .cols = cols,
                                               .src_ld = backward ? cols : all,
                                               .dst_ld = backward ? all : cols,
                                               .src = backward ? piece : joined,
                                               .dst = backward ? joined : piece,
                                               .acc = acc});
        begin += cols;
    }
}

static void split_fwd(hy_exec *x, const hy_node *node) {
    copy_pieces(x, node, false, 0);
}

static void split_bwd(hy_exec *x, const hy_node *node) {
    copy_pieces(x, node, true, hy_acc(x, node, 0));
}

static const hy_node_class split_class = {.name = "split", .light = true, .fwd = split_fwd, .bwd = split_bwd};

void hy_node_split(hy_graph *g, hy_var x, int n, const int64_t *cols, hy_var *out) {
    for (int i = 0; i < n; i++) {
        out[i] = hy_graph_var(g, "piece", cols[i]);
    }
    hy_graph_node(g, &split_class, 1, &x, n, out);
}

/* ---- a factor per channel; the gradient of what it is added to is its own, in one buffer ---- */

static hy_scale_args scale_args(const hy_exec *x, const hy_node *node) {
    return (hy_scale_args){.act = node->attr.scale.act,
                           .T = x->T,
                           .cols = x->graph->vars[node->out[0]].cols,
                           .expand = node->attr.scale.expand,
                           .group = node->attr.scale.group,
                           .x = hy_value(x, node->in[0]),
                           .w = hy_param_value(x, node->w[0]),
                           .role = hy_var_role(x, node->out[0])};
}

static void scale_fwd(hy_exec *x, const hy_node *node) {
    hy_scale_args a = scale_args(x, node);
    a.add = hy_value(x, node->in[1]);
    a.y = hy_value(x, node->out[0]);
    hy_scale_fwd(x->device, &a);
}

static void scale_bwd(hy_exec *x, const hy_node *node) {
    hy_scale_args a = scale_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    a.dw = hy_param_grad(x, node->w[0]);
    hy_scale_bwd(x->device, &a);
}

static const hy_node_class scale_class = {.name = "scale",
                                          .light = true,
                                          .bwd_reads_in = 1,
                                          .either_out = true,
                                          .same_in = 3,
                                          .fwd = scale_fwd,
                                          .bwd = scale_bwd};

static hy_var scaled(hy_graph *g, hy_var x, hy_var add, hy_weight w, hy_act act, int64_t expand, int64_t group) {
    hy_var y = hy_graph_var(g, "scaled", hy_var_cols(g, x) * expand);
    hy_node *node = hy_graph_node(g, &scale_class, 2, (hy_var[]){x, add}, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    if (add != HY_NONE) {
        g->vars[add].grad_alias = y;
    }
    node->w[0] = w;
    node->attr.scale.act = act;
    node->attr.scale.expand = expand;
    node->attr.scale.group = group;
    return y;
}

hy_var hy_node_scale(hy_graph *g, hy_var x, hy_weight w, hy_act act, int64_t expand, int64_t group) {
    return scaled(g, x, HY_NONE, w, act, expand, group);
}

hy_var hy_node_skip(hy_graph *g, hy_var add, hy_var x, hy_weight w, int64_t group) {
    return scaled(g, x, add, w, HY_ACT_IDENTITY, 1, group);
}
