/* RMSNorm, LayerNorm, L2 norm and division by the sum, over groups of channels; all recompute their scale from x in the backward. */
#include <stdio.h>

#include "layers/nodes/nodes.h"

/* A second input is the output's gate. */
static hy_rmsnorm_args rmsnorm_args(const hy_exec *x, const hy_node *node) {
    int64_t cols = node->attr.norm.cols;
    return (hy_rmsnorm_args){.rows = x->T * (x->graph->vars[node->in[0]].cols / cols),
                             .cols = cols,
                             .w_rows = node->attr.norm.w_rows,
                             .eps = node->attr.norm.eps,
                             .zero_centred = node->attr.norm.zero_centred,
                             .x = hy_value(x, node->in[0]),
                             .w = hy_param_value(x, node->w[0]),
                             .gate = node->n_in > 1 ? hy_value(x, node->in[1]) : NULL,
                             .act = node->attr.norm.act};
}

/* sum: NULL where what is normalised is there. */
static void rmsnorm_fwd_of_sum(hy_exec *x, const hy_node *node, const hy_node *sum) {
    hy_rmsnorm_args a = rmsnorm_args(x, node);
    if (sum != NULL) {
        a.x = hy_value(x, sum->in[0]);
        a.branch = hy_value(x, sum->in[1]);
        a.sum = hy_value(x, sum->out[0]);
    }
    a.y = hy_value(x, node->out[0]);
    hy_rmsnorm_fwd(x->device, &a);
}

static void rmsnorm_fwd(hy_exec *x, const hy_node *node) {
    rmsnorm_fwd_of_sum(x, node, NULL);
}

static void rmsnorm_bwd(hy_exec *x, const hy_node *node) {
    hy_rmsnorm_args a = rmsnorm_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    if (node->n_in > 1) {
        a.dgate = hy_grad(x, node->in[1]);
        a.acc_gate = hy_acc(x, node, 1);
    }
    a.dw = hy_param_grad(x, node->w[0]);
    hy_rmsnorm_bwd(x->device, &a);
}

static const hy_node_class rmsnorm_class = {.name = "rmsnorm",
                                            .light = true,
                                            .bwd_reads_in = 1,
                                            .fwd = rmsnorm_fwd,
                                            .fwd_of_sum = rmsnorm_fwd_of_sum,
                                            .bwd = rmsnorm_bwd};

static const hy_node_class gated_class = {
    .name = "gated norm", .light = true, .bwd_reads_in = 3, .fwd = rmsnorm_fwd, .bwd = rmsnorm_bwd};

static hy_layernorm_args layernorm_args(const hy_exec *x, const hy_node *node) {
    int64_t cols = node->attr.norm.cols;
    return (hy_layernorm_args){.rows = x->T * (x->graph->vars[node->in[0]].cols / cols),
                               .cols = cols,
                               .w_rows = node->attr.norm.w_rows,
                               .eps = node->attr.norm.eps,
                               .x = hy_value(x, node->in[0]),
                               .w = hy_param_value(x, node->w[0]),
                               .b = hy_param_value(x, node->w[1])};
}

static void layernorm_fwd_of_sum(hy_exec *x, const hy_node *node, const hy_node *sum) {
    hy_layernorm_args a = layernorm_args(x, node);
    if (sum != NULL) {
        a.x = hy_value(x, sum->in[0]);
        a.branch = hy_value(x, sum->in[1]);
        a.sum = hy_value(x, sum->out[0]);
    }
    a.y = hy_value(x, node->out[0]);
    hy_layernorm_fwd(x->device, &a);
}

static void layernorm_fwd(hy_exec *x, const hy_node *node) {
    layernorm_fwd_of_sum(x, node, NULL);
}

static void layernorm_bwd(hy_exec *x, const hy_node *node) {
    hy_layernorm_args a = layernorm_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    a.dw = hy_param_grad(x, node->w[0]);
    a.db = hy_param_grad(x, node->w[1]);
    hy_layernorm_bwd(x->device, &a);
}

static const hy_node_class layernorm_class = {.name = "layernorm",
                                              .light = true,
                                              .bwd_reads_in = 1,
                                              .fwd = layernorm_fwd,
                                              .fwd_of_sum = layernorm_fwd_of_sum,
                                              .bwd = layernorm_bwd};

static hy_weight norm_weight(hy_graph *g, const char *name, const char *part, int64_t size, hy_init init) {
    char full[64];
    snprintf(full, sizeof(full), "%s.%s", name, part);
    return hy_graph_param(g, full, 1, &size, init, false);
}

/* A norm of in[0] with a weight unless name is NULL. */
static hy_node *weighted_norm(hy_graph *g, const hy_node_class *class, int n_in, const hy_var *in, const char *name,
                              int64_t cols, int64_t w_rows, double eps, hy_init init) {
    hy_weight w = name ? norm_weight(g, name, "weight", w_rows * cols, init) : (hy_weight){HY_NONE, 0};
    hy_var y = hy_graph_var(g, "norm", hy_var_cols(g, in[0]));
    hy_node *node = hy_graph_node(g, class, n_in, in, 1, &y);
    if (node) {
        node->w[0] = w;
        node->attr.norm.cols = cols;
        node->attr.norm.w_rows = w_rows;
        node->attr.norm.eps = eps;
        node->attr.norm.zero_centred = init == HY_INIT_ZERO;
    }
    return node;
}

hy_var hy_node_rmsnorm(hy_graph *g, hy_var x, const char *name, int64_t cols, int64_t w_rows, double eps) {
    const hy_node *node = weighted_norm(g, &rmsnorm_class, 1, &x, name, cols, w_rows, eps, HY_INIT_ONE);
    return node ? node->out[0] : HY_NONE;
}

hy_var hy_node_gated_rmsnorm(hy_graph *g, hy_var x, hy_var gate, hy_act act, const char *name, int64_t cols,
                             int64_t w_rows, double eps) {
    hy_node *node = weighted_norm(g, &gated_class, 2, (hy_var[]){x, gate}, name, cols, w_rows, eps, HY_INIT_ONE);
    if (!node) {
        return HY_NONE;
    }
    node->attr.norm.act = act;
    return node->out[0];
}

hy_var hy_node_rmsnorm_zero_centred(hy_graph *g, hy_var x, const char *name, int64_t cols, int64_t w_rows, double eps) {
    const hy_node *node = weighted_norm(g, &rmsnorm_class, 1, &x, name, cols, w_rows, eps, HY_INIT_ZERO);
    return node ? node->out[0] : HY_NONE;
}

hy_var hy_node_layernorm(hy_graph *g, hy_var x, const char *name, int64_t cols, int64_t w_rows, double eps, bool bias) {
    hy_node *node = weighted_norm(g, &layernorm_class, 1, &x, name, cols, w_rows, eps, HY_INIT_ONE);
    if (node && bias) {
        node->w[1] = norm_weight(g, name, "bias", w_rows * cols, HY_INIT_ZERO);
    }
    return node ? node->out[0] : HY_NONE;
}

hy_var hy_node_layernorm_weight(hy_graph *g, hy_var x, hy_weight w, hy_weight bias, int64_t cols, int64_t w_rows,
                                double eps) {
    hy_node *node = weighted_norm(g, &layernorm_class, 1, &x, NULL, cols, w_rows, eps, HY_INIT_ONE);
    if (!node) {
        return HY_NONE;
    }
    node->w[0] = w;
    node->w[1] = bias;
    return node->out[0];
}

/* Both norms without weight take the same arguments. */
static hy_l2norm_args plain_args(const hy_exec *x, const hy_node *node) {
    int64_t cols = node->attr.norm.cols;
    return (hy_l2norm_args){.rows = x->T * (x->graph->vars[node->in[0]].cols / cols),
                            .cols = cols,
                            .eps = node->attr.norm.eps,
                            .x = hy_value(x, node->in[0])};
}

static hy_l2norm_args plain_args_fwd(const hy_exec *x, const hy_node *node) {
    hy_l2norm_args a = plain_args(x, node);
    a.y = hy_value(x, node->out[0]);
    return a;
}

static hy_l2norm_args plain_args_bwd(const hy_exec *x, const hy_node *node) {
    hy_l2norm_args a = plain_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    return a;
}

static void l2norm_fwd(hy_exec *x, const hy_node *node) {
    hy_l2norm_args a = plain_args_fwd(x, node);
    hy_l2norm_fwd(x->device, &a);
}

static void l2norm_bwd(hy_exec *x, const hy_node *node) {
    hy_l2norm_args a = plain_args_bwd(x, node);
    hy_l2norm_bwd(x->device, &a);
}

static void sumnorm_fwd(hy_exec *x, const hy_node *node) {
    hy_l2norm_args a = plain_args_fwd(x, node);
    hy_sumnorm_fwd(x->device, &a);
}

static void sumnorm_bwd(hy_exec *x, const hy_node *node) {
    hy_l2norm_args a = plain_args_bwd(x, node);
    hy_sumnorm_bwd(x->device, &a);
}

static const hy_node_class l2norm_class = {
    .name = "l2norm", .light = true, .bwd_reads_in = 1, .fwd = l2norm_fwd, .bwd = l2norm_bwd};
static const hy_node_class sumnorm_class = {
    .name = "sumnorm", .light = true, .bwd_reads_in = 1, .fwd = sumnorm_fwd, .bwd = sumnorm_bwd};

static hy_var plain_norm(hy_graph *g, const hy_node_class *class, hy_var x, int64_t cols, double eps) {
    hy_var y = hy_graph_var(g, class->name, hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.norm.cols = cols;
    node->attr.norm.eps = eps;
    return y;
}

hy_var hy_node_l2norm(hy_graph *g, hy_var x, int64_t cols, double eps) {
    return plain_norm(g, &l2norm_class, x, cols, eps);
}

hy_var hy_node_sumnorm(hy_graph *g, hy_var x, int64_t cols, double eps) {
    return plain_norm(g, &sumnorm_class, x, cols, eps);
}
