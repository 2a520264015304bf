/* Feature maps, the column of ones that makes a normaliser, and a token's own part of a sum of squared scores. */
#include "layers/nodes/nodes.h"

/* ---- feature maps ---- */

static hy_feature_args feature_args(const hy_exec *x, const hy_node *node) {
    int64_t cols = node->attr.feature.cols;
    return (hy_feature_args){.kind = node->attr.feature.kind,
                             .rows = x->T * (x->graph->vars[node->in[0]].cols / cols),
                             .cols = cols,
                             .x = hy_value(x, node->in[0])};
}

static void feature_fwd(hy_exec *x, const hy_node *node) {
    hy_feature_args a = feature_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_feature_fwd(x->device, &a);
}

static void feature_bwd(hy_exec *x, const hy_node *node) {
    hy_feature_args a = feature_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    hy_feature_bwd(x->device, &a);
}

static const hy_node_class feature_class = {
    .name = "features", .light = true, .bwd_reads_in = 1, .fwd = feature_fwd, .bwd = feature_bwd};

hy_var hy_node_feature(hy_graph *g, hy_var x, hy_feature_kind kind, int64_t cols) {
    const int64_t heads = cols > 0 ? hy_var_cols(g, x) / cols : 0; /* no columns: the graph has failed before */
    hy_var y = hy_graph_var(g, "features", heads * hy_feature_cols(kind, cols));
    hy_node *node = hy_graph_node(g, &feature_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.feature.kind = kind;
    node->attr.feature.cols = cols;
    return y;
}

/* ---- normaliser: o = Sᵀq and Σk·q come out of one recurrence, whose values end in a 1 ---- */

static hy_copy2d_args append_copy(const hy_exec *x, const hy_node *node) {
    int64_t cols = node->attr.feature.cols;
    return (hy_copy2d_args){
        .rows = x->T * (x->graph->vars[node->in[0]].cols / cols), .cols = cols, .src_ld = cols, .dst_ld = cols + 1};
}

static void append_fwd(hy_exec *x, const hy_node *node) {
    hy_copy2d_args a = append_copy(x, node);
    hy_fill(x->device,
            &(hy_fill_args){.n = x->T * x->graph->vars[node->out[0]].cols, .value = 1, .y = hy_value(x, node->out[0])});
    a.src = hy_value(x, node->in[0]);
    a.dst = hy_value(x, node->out[0]);
    hy_copy2d(x->device, &a);
}

static void append_bwd(hy_exec *x, const hy_node *node) {
    hy_copy2d_args a = append_copy(x, node);
    a.src_ld = a.cols + 1;
    a.dst_ld = a.cols;
    a.src = hy_grad(x, node->out[0]);
    a.dst = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    hy_copy2d(x->device, &a);
}

static const hy_node_class append_class = {.name = "append one", .light = true, .fwd = append_fwd, .bwd = append_bwd};

hy_var hy_node_append_one(hy_graph *g, hy_var x, int64_t heads) {
    hy_var y = hy_graph_var(g, "with one", hy_var_cols(g, x) + heads);
    hy_node *node = hy_graph_node(g, &append_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.feature.cols = hy_var_cols(g, x) / heads;
    return y;
}

static hy_ratio_args ratio_args(const hy_exec *x, const hy_node *node) {
    int64_t cols = node->attr.feature.cols;
    return (hy_ratio_args){.rows = x->T * (x->graph->vars[node->out[0]].cols / cols),
                           .cols = cols,
                           .eps = node->attr.feature.eps,
                           .x = hy_value(x, node->in[0])};
}

static void ratio_fwd(hy_exec *x, const hy_node *node) {
    hy_ratio_args a = ratio_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_ratio_fwd(x->device, &a);
}

static void ratio_bwd(hy_exec *x, const hy_node *node) {
    hy_ratio_args a = ratio_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    hy_ratio_bwd(x->device, &a);
}

static const hy_node_class ratio_class = {
    .name = "ratio", .light = true, .bwd_reads_in = 1, .fwd = ratio_fwd, .bwd = ratio_bwd};

hy_var hy_node_ratio(hy_graph *g, hy_var x, int64_t heads, double eps) {
    hy_var y = hy_graph_var(g, "normalised", hy_var_cols(g, x) - heads);
    hy_node *node = hy_graph_node(g, &ratio_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.feature.cols = hy_var_cols(g, x) / heads - 1;
    node->attr.feature.eps = eps;
    return y;
}

/* ---- a token's own part; the gradient of what it is added to is its own, in one buffer ---- */

static hy_own_args own_args(const hy_exec *x, const hy_node *node) {
    const hy_variable *vars = x->graph->vars;
    int64_t heads = node->attr.own.heads;
    return (hy_own_args){.rows = x->T * heads,
                         .cols = vars[node->in[1]].cols / heads,
                         .V = vars[node->in[0]].cols / heads,
                         .q = hy_value(x, node->in[1]),
                         .k = hy_value(x, node->in[2]),
                         .v = hy_value(x, node->in[3])};
}

static void own_fwd(hy_exec *x, const hy_node *node) {
    hy_own_args a = own_args(x, node);
    a.add = hy_value(x, node->in[0]);
    a.y = hy_value(x, node->out[0]);
    hy_own_fwd(x->device, &a);
}

static void own_bwd(hy_exec *x, const hy_node *node) {
    hy_own_args a = own_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dq = hy_grad(x, node->in[1]);
    a.dk = hy_grad(x, node->in[2]);
    a.dv = hy_grad(x, node->in[3]);
    a.acc_q = hy_acc(x, node, 1);
    a.acc_k = hy_acc(x, node, 2);
    a.acc_v = hy_acc(x, node, 3);
    hy_own_bwd(x->device, &a);
}

static const hy_node_class own_class = {
    .name = "own part", .light = true, .bwd_reads_in = 0xe, .fwd = own_fwd, .bwd = own_bwd};

hy_var hy_node_own(hy_graph *g, hy_var add, hy_var q, hy_var k, hy_var v, int64_t heads) {
    hy_var y = hy_graph_var(g, "with own", hy_var_cols(g, add));
    hy_node *node = hy_graph_node(g, &own_class, 4, (hy_var[]){add, q, k, v}, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    g->vars[add].grad_alias = y;
    node->attr.own.heads = heads;
    return y;
}
