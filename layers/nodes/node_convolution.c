/* Convolutions: short ones whose halo is exchanged, with taps that are a parameter or the output of a filter node; the filter
 * node; long ones whose channels are shared out among ranks. */
#include <math.h>
#include <stdio.h>

#include "base/product.h"
#include "layers/nodes/nodes.h"

/* ---- convolution with halo: in[0] the tokens, in[1] the taps [C·W] if no parameter holds them ---- */

static hy_sp_conv conv_args(const hy_exec *x, const hy_node *node) {
    hy_sp_conv c = {.op = {.T = x->T, .C = node->attr.conv.C, .W = node->attr.conv.W, .act = node->attr.conv.act},
                    .kept = hy_kept(x, node),
                    .work = hy_work(x, node),
                    .carried = hy_carried(x, node)};
    c.op.x = hy_value(x, node->in[0]);
    c.op.w = node->in[1] == HY_NONE ? hy_param_value(x, node->w[0]) : hy_value(x, node->in[1]);
    c.op.bias = hy_param_value(x, node->w[1]);
    return c;
}

static void conv_fwd(hy_exec *x, const hy_node *node) {
    hy_sp_conv c = conv_args(x, node);
    c.op.y = hy_value(x, node->out[0]);
    hy_sp_conv_fwd(x->sp, &c);
}

static void conv_recompute(hy_exec *x, const hy_node *node) {
    hy_sp_conv c = conv_args(x, node);
    c.op.y = hy_value(x, node->out[0]);
    hy_sp_conv_recompute(x->sp, &c);
}

static void conv_bwd(hy_exec *x, const hy_node *node) {
    hy_sp_conv c = conv_args(x, node);
    c.op.dy = hy_grad(x, node->out[0]);
    c.op.dx = hy_grad(x, node->in[0]);
    c.op.acc = hy_acc(x, node, 0);
    const int64_t taps = c.op.C * c.op.W;
    c.op.dw = hy_param_grad(x, node->w[0]);
    c.op.dbias = hy_param_grad(x, node->w[1]);
    c.sums = x->sums;
    c.sum_ld = x->sum_ld;
    if (node->in[1] != HY_NONE) {
        c.op.dw = hy_grad(x, node->in[1]);
        c.sums = hy_layout_call_count(&x->sp->layout->dims);
        c.sum_ld = hy_bytes(x, HY_ROLE_STAT, taps);
        if (!hy_acc(x, node, 1) && x->sp->part != HY_SP_FINISH) {
            hy_fill(x->device, &(hy_fill_args){.n = c.sums * taps, .value = 0, .y = c.op.dw, .role = HY_ROLE_STAT});
        }
    }
    hy_sp_conv_bwd(x->sp, &c);
}

static void conv_lists(const hy_node *node, hy_lists_needs *needs) {
    hy_sp_conv_need(needs, node->attr.conv.W);
}

static int64_t conv_kept(const hy_sizing *s, const hy_node *node) {
    return (int64_t)hy_sp_conv_kept(s->sp, s->dims, node->attr.conv.C, node->attr.conv.W);
}

static int64_t conv_work(const hy_sizing *s, const hy_node *node) {
    return (int64_t)hy_sp_conv_work(s->sp, s->dims, node->attr.conv.C, node->attr.conv.W);
}

static int64_t conv_carried(const hy_sizing *s, const hy_node *node) {
    return (int64_t)hy_sp_conv_carried(s->sp, node->attr.conv.C, node->attr.conv.W);
}

static double conv_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    (void)docs;
    (void)n_docs;
    return 2.0 * (double)tokens * (double)node->attr.conv.C * (double)node->attr.conv.W;
}

const hy_node_class hy_class_conv = {.name = "convolution",
                                     .mixes = true,
                                     .by_fragment = true,
                                     .light = true,
                                     .bwd_reads_in = 3,
                                     .stat_in = 2,
                                     .fwd = conv_fwd,
                                     .recompute = conv_recompute,
                                     .bwd = conv_bwd,
                                     .kept = conv_kept,
                                     .work = conv_work,
                                     .carried = conv_carried,
                                     .lists = conv_lists,
                                     .flops = conv_flops};

static hy_node *add_conv(hy_graph *g, hy_var x, hy_var taps, int64_t width, hy_act act, hy_var *y) {
    *y = hy_graph_var(g, "conv", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &hy_class_conv, 2, (hy_var[]){x, taps}, 1, y);
    if (node) {
        node->attr.conv.C = hy_var_cols(g, x);
        node->attr.conv.W = width;
        node->attr.conv.act = act;
        hy_graph_state(g, "halo", hy_product(node->attr.conv.C, width));
    }
    return node;
}

hy_var hy_node_conv(hy_graph *g, hy_var x, const char *name, int64_t width, bool bias, hy_act act) {
    int64_t cols = hy_var_cols(g, x);
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    hy_weight w = hy_graph_param(g, full, 3, (int64_t[]){cols, 1, width}, HY_INIT_NORMAL, true);
    hy_weight b = {HY_NONE, 0};
    if (bias) {
        snprintf(full, sizeof(full), "%s.bias", name);
        b = hy_graph_param(g, full, 1, &cols, HY_INIT_ZERO, false);
    }
    hy_var y;
    hy_node *node = add_conv(g, x, HY_NONE, width, act, &y);
    if (node) {
        node->w[0] = w;
        node->w[1] = b;
    }
    return y;
}

hy_var hy_node_conv_by(hy_graph *g, hy_var x, hy_var taps, int64_t width) {
    hy_var y;
    (void)add_conv(g, x, taps, width, HY_ACT_IDENTITY, &y);
    return y;
}

/* ---- windows: taps of groups of channels, damped with their age ---- */

static hy_window_filter_args window_args(const hy_exec *x, const hy_node *node) {
    return (hy_window_filter_args){.C = node->attr.window.C,
                                   .G = node->attr.window.G,
                                   .W = node->attr.window.W,
                                   .low = node->attr.window.low,
                                   .high = node->attr.window.high,
                                   .h = hy_param_value(x, node->w[0]),
                                   .log_alpha = hy_param_value(x, node->w[1])};
}

static void window_fwd(hy_exec *x, const hy_node *node) {
    hy_window_filter_args a = window_args(x, node);
    a.w = hy_value(x, node->out[0]);
    hy_window_filter_fwd(x->device, &a);
}

static void window_bwd(hy_exec *x, const hy_node *node) {
    hy_window_filter_args a = window_args(x, node);
    a.dw = hy_grad(x, node->out[0]);
    a.dh = hy_param_grad(x, node->w[0]);
    a.dlog_alpha = hy_param_grad(x, node->w[1]);
    hy_window_filter_bwd(x->device, &a);
}

static const hy_node_class window_class = {
    .name = "window filter", .light = true, .stat_out = 1, .fwd = window_fwd, .bwd = window_bwd};

hy_var hy_node_window_filter(hy_graph *g, const char *name, int64_t channels, const hy_window *window) {
    char full[64];
    snprintf(full, sizeof(full), "%s.h", name);
    hy_weight h = hy_graph_param(g, full, 2, (int64_t[]){window->filters, window->width}, HY_INIT_NORMAL, true),
              log_alpha = {HY_NONE, 0};
    hy_var w = hy_graph_var(g, "taps", channels * window->width);
    hy_node *node = NULL;
    if (window->learned) {
        snprintf(full, sizeof(full), "%s.log_alpha", name);
        log_alpha = hy_graph_param(g, full, 1, &window->filters, HY_INIT_RAMP, false);
    }
    node = hy_graph_node(g, &window_class, 0, NULL, 1, &w);
    if (!node) {
        return HY_NONE;
    }
    g->params[h.param].init_a = 1 / sqrt((double)window->width);
    if (window->learned) {
        g->params[log_alpha.param].init_a = log(window->low);
        g->params[log_alpha.param].init_b = log(window->high);
    }
    g->vars[w].per_token = false;
    node->w[0] = h;
    node->w[1] = log_alpha;
    node->attr.window.C = channels;
    node->attr.window.G = window->filters;
    node->attr.window.W = window->width;
    node->attr.window.low = window->low;
    node->attr.window.high = window->high;
    return w;
}

/* ---- long convolution: its result and the exchanged inputs are kept, so that a recompute skips it ---- */

static hy_sp_long_conv long_args(const hy_exec *x, const hy_node *node) {
    return (hy_sp_long_conv){.C = node->attr.long_conv.C,
                             .N = node->attr.long_conv.N,
                             .group = node->attr.long_conv.group,
                             .R = hy_param_value(x, node->w[0]),
                             .p = hy_param_value(x, node->w[1]),
                             .kept = hy_kept(x, node),
                             .work = hy_work(x, node)};
}

static void long_fwd(hy_exec *x, const hy_node *node) {
    hy_sp_long_conv c = long_args(x, node);
    c.x = hy_value(x, node->in[0]);
    c.y = hy_value(x, node->out[0]);
    hy_sp_long_conv_fwd(x->sp, &c);
}

static void long_bwd(hy_exec *x, const hy_node *node) {
    hy_sp_long_conv c = long_args(x, node);
    c.dy = hy_grad(x, node->out[0]);
    c.dx = hy_grad(x, node->in[0]);
    c.acc = hy_acc(x, node, 0);
    c.dR = hy_param_grad(x, node->w[0]);
    c.dp = hy_param_grad(x, node->w[1]);
    hy_sp_long_conv_bwd(x->sp, &c);
}

static void long_lists(const hy_node *node, hy_lists_needs *needs) {
    hy_sp_long_conv_need(needs, node->attr.long_conv.C);
}

static int64_t long_kept(const hy_sizing *s, const hy_node *node) {
    return (int64_t)hy_sp_long_conv_kept(s->sp, s->dims, node->attr.long_conv.C);
}

static int64_t long_work(const hy_sizing *s, const hy_node *node) {
    return (int64_t)hy_sp_long_conv_work(s->sp, s->dims, node->attr.long_conv.C);
}

/* Per channel and document of n tokens: transforms of inputs, filter and results with 2n points, 2.5 m log₂ m each, a product of
 * n + 1 complex numbers; and the filter's taps. */
static double long_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    double total = 2.0 * (double)node->attr.long_conv.N * (double)tokens;
    for (int64_t d = 0; d < n_docs; d++) {
        const double n = (double)(docs[d + 1] - docs[d]);
        total += n > 0 ? 3 * 2.5 * 2 * n * log2(2 * n) + 6 * (n + 1) : 0;
    }
    return total * (double)node->attr.long_conv.C;
}

const hy_node_class hy_class_long_conv = {.name = "long convolution",
                                          .mixes = true,
                                          .fwd = long_fwd,
                                          .bwd = long_bwd,
                                          .kept = long_kept,
                                          .work = long_work,
                                          .lists = long_lists,
                                          .flops = long_flops};

hy_var hy_node_long_conv(hy_graph *g, hy_var x, const char *name, int64_t filters, int64_t order) {
    const int64_t cols = hy_var_cols(g, x);
    char full[64];
    snprintf(full, sizeof(full), "%s.R", name);
    hy_weight R = hy_graph_param(g, full, 2, (int64_t[]){filters, order}, HY_INIT_NORMAL, false);
    snprintf(full, sizeof(full), "%s.p", name);
    hy_weight p = hy_graph_param(g, full, 2, (int64_t[]){filters, order}, HY_INIT_DT_BIAS, false);
    hy_var y = hy_graph_var(g, "long conv", cols);
    hy_node *node = hy_graph_node(g, &hy_class_long_conv, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    g->params[R.param].init_a = 0.1 / sqrt((double)order);
    g->vars[y].kept = true;
    node->w[0] = R;
    node->w[1] = p;
    node->attr.long_conv.C = cols;
    node->attr.long_conv.N = order;
    node->attr.long_conv.group = cols / filters;
    return y;
}
