/* y = x Wᵀ + b;  dx = dy W,  dW += dyᵀ x,  db += Σ_t dy.  W [out,in], possibly a block of rows and columns of a larger parameter; the rows of x are
 * tokens, or the heads of all tokens. */
#include <stdio.h>

#include "layers/nodes/nodes.h"

static void linear_fwd(hy_exec *x, const hy_node *node) {
    int64_t in = node->attr.linear.in, out = node->attr.linear.out, rows = x->T * node->attr.linear.heads;
    const hy_role role = hy_var_role(x, node->out[0]);
    hy_gemm(x->device, &(hy_gemm_args){.trans_b = 1,
                                       .m = rows,
                                       .n = out,
                                       .k = in,
                                       .alpha = 1,
                                       .a = hy_value(x, node->in[0]),
                                       .lda = in,
                                       .b = hy_param_value(x, node->w[0]),
                                       .ldb = node->attr.linear.ld,
                                       .c = hy_value(x, node->out[0]),
                                       .ldc = out,
                                       .b_role = HY_ROLE_WEIGHT,
                                       .c_role = role});
    if (node->w[1].param != HY_NONE) {
        hy_bias_fwd(x->device, &(hy_bias_args){.rows = rows,
                                               .cols = out,
                                               .bias = hy_param_value(x, node->w[1]),
                                               .y = hy_value(x, node->out[0]),
                                               .role = role});
    }
}

static void linear_bwd_inputs(hy_exec *x, const hy_node *node) {
    const int64_t in = node->attr.linear.in, out = node->attr.linear.out;
    hy_gemm(x->device, &(hy_gemm_args){.m = x->T * node->attr.linear.heads,
                                       .n = in,
                                       .k = out,
                                       .alpha = 1,
                                       .a = hy_grad(x, node->out[0]),
                                       .lda = out,
                                       .b = hy_param_value(x, node->w[0]),
                                       .ldb = node->attr.linear.ld,
                                       .beta = hy_acc(x, node, 0) ? 1 : 0,
                                       .c = hy_grad(x, node->in[0]),
                                       .ldc = in,
                                       .a_role = hy_var_role(x, node->out[0]),
                                       .b_role = HY_ROLE_WEIGHT});
}

static void linear_bwd_weights(hy_exec *x, const hy_node *node) {
    const int64_t in = node->attr.linear.in, out = node->attr.linear.out, rows = x->T * node->attr.linear.heads;
    const void *dy = hy_grad(x, node->out[0]);
    const hy_role role = hy_var_role(x, node->out[0]);
    hy_gemm(x->device, &(hy_gemm_args){.trans_a = 1,
                                       .m = out,
                                       .n = in,
                                       .k = rows,
                                       .alpha = 1,
                                       .a = dy,
                                       .lda = out,
                                       .b = hy_value(x, node->in[0]),
                                       .ldb = in,
                                       .beta = 1,
                                       .c = hy_param_grad(x, node->w[0]),
                                       .ldc = node->attr.linear.ld,
                                       .a_role = role,
                                       .c_role = HY_ROLE_GRAD});
    if (node->w[1].param != HY_NONE) {
        hy_bias_bwd(
            x->device,
            &(hy_bias_args){.rows = rows, .cols = out, .dy = dy, .dbias = hy_param_grad(x, node->w[1]), .role = role});
    }
}

static void linear_bwd(hy_exec *x, const hy_node *node) {
    if (x->sp->part != HY_SP_FINISH) {
        linear_bwd_inputs(x, node);
    }
    if (x->sp->part != HY_SP_START) {
        linear_bwd_weights(x, node);
    }
}

static double linear_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    (void)docs;
    (void)n_docs;
    return 2.0 * (double)(tokens * node->attr.linear.heads) * (double)node->attr.linear.in *
           (double)node->attr.linear.out;
}

static const hy_node_class linear_class = {.name = "linear",
                                           .bwd_reads_in = 1,
                                           .weights_apart = true,
                                           .either_out = true,
                                           .fwd = linear_fwd,
                                           .bwd = linear_bwd,
                                           .flops = linear_flops};

/* `ld`: columns of the parameter that W is a block of. */
static hy_var add_linear(hy_graph *g, hy_var x, int64_t heads, hy_weight w, int64_t ld, hy_weight bias, int64_t out) {
    hy_var y = hy_graph_var(g, "linear", heads * out);
    hy_node *node = hy_graph_node(g, &linear_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    hy_graph_matrix(g, w);
    node->w[0] = w;
    node->w[1] = bias;
    node->attr.linear.in = hy_var_cols(g, x) / heads;
    node->attr.linear.out = out;
    node->attr.linear.heads = heads;
    node->attr.linear.ld = ld;
    return y;
}

hy_var hy_node_linear_heads(hy_graph *g, hy_var x, int64_t heads, hy_weight w, hy_weight bias, int64_t out) {
    return add_linear(g, x, heads, w, hy_var_cols(g, x) / heads, bias, out);
}

hy_var hy_node_linear_weight(hy_graph *g, hy_var x, hy_weight w, hy_weight bias, int64_t out) {
    return add_linear(g, x, 1, w, hy_var_cols(g, x), bias, out);
}

hy_var hy_node_linear_columns(hy_graph *g, hy_var x, hy_weight w, int64_t w_cols, int64_t out) {
    return add_linear(g, x, 1, w, w_cols, (hy_weight){HY_NONE, 0}, out);
}

hy_var hy_node_linear(hy_graph *g, hy_var x, const char *name, int64_t out, bool bias) {
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    hy_weight w = hy_graph_param(g, full, 2, (int64_t[]){out, hy_var_cols(g, x)}, HY_INIT_NORMAL, true);
    hy_weight b = {HY_NONE, 0};
    if (bias) {
        snprintf(full, sizeof(full), "%s.bias", name);
        b = hy_graph_param(g, full, 1, &out, HY_INIT_ZERO, false);
    }
    return hy_node_linear_weight(g, x, w, b, out);
}

/* ---- a bias of its own; both gradients are one buffer ---- */

static hy_bias_args bias_args(const hy_exec *x, const hy_node *node) {
    return (hy_bias_args){.rows = x->T,
                          .cols = x->graph->vars[node->out[0]].cols,
                          .bias = hy_param_value(x, node->w[0]),
                          .role = hy_var_role(x, node->out[0])};
}

static void bias_fwd(hy_exec *x, const hy_node *node) {
    hy_bias_args a = bias_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_axpy(x->device,
            &(hy_axpy_args){
                .n = a.rows * a.cols, .a = 1, .x = hy_value(x, node->in[0]), .y = a.y, .from = a.role, .to = a.role});
    hy_bias_fwd(x->device, &a);
}

static void bias_bwd(hy_exec *x, const hy_node *node) {
    hy_bias_args a = bias_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dbias = hy_param_grad(x, node->w[0]);
    hy_bias_bwd(x->device, &a);
}

static const hy_node_class bias_class = {
    .name = "bias", .light = true, .either_out = true, .same_in = 1, .fwd = bias_fwd, .bwd = bias_bwd};

hy_var hy_node_bias(hy_graph *g, hy_var x, hy_weight bias) {
    hy_var y = hy_graph_var(g, "biased", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &bias_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->w[0] = bias;
    g->vars[x].grad_alias = y;
    return y;
}
