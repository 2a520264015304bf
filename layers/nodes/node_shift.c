/* Token shift and mixtures: y_t = x_{t−1}, a convolution with the taps (1, 0), and y_i = x + (z − x) ⊙ act(m_i + w_i). */
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
    if (g->shift_taps == HY_NONE) {
        hy_var taps = hy_graph_var(g, "shift taps", 2 * hy_var_cols(g, x));
        if (!hy_graph_node(g, &taps_class, 0, NULL, 1, &taps)) {
            return HY_NONE;
        }
        g->vars[taps].per_token = false;
        g->shift_taps = taps;
    }
    return hy_node_conv_by(g, x, g->shift_taps, 2);
}

/* in: x, z, m_i. The gradient of m_i takes the place of that of output i. */
enum { LERP_X, LERP_Z, LERP_M };
_Static_assert((int)HY_LERP_MAX <= (int)HY_NODE_OUTPUTS && (int)HY_LERP_MAX <= (int)HY_NODE_WEIGHTS &&
                   (int)LERP_M + (int)HY_LERP_MAX <= (int)HY_NODE_INPUTS,
               "a node holds as many mixtures as one call makes");

static hy_lerp_args lerp_args(const hy_exec *x, const hy_node *node) {
    hy_lerp_args a = {.act = node->attr.lerp.act,
                      .rows = x->T,
                      .cols = x->graph->vars[node->out[0]].cols,
                      .parts = node->n_out,
                      .x = hy_value(x, node->in[LERP_X]),
                      .z = hy_value(x, node->in[LERP_Z])};
    for (int i = 0; i < a.parts; i++) {
        a.m[i] = hy_value(x, node->in[LERP_M + i]);
        a.w[i] = hy_param_value(x, node->w[i]);
    }
    return a;
}

static void lerp_fwd(hy_exec *x, const hy_node *node) {
    hy_lerp_args a = lerp_args(x, node);
    for (int i = 0; i < a.parts; i++) {
        a.y[i] = hy_value(x, node->out[i]);
    }
    hy_lerp_fwd(x->device, &a);
}

static void lerp_bwd(hy_exec *x, const hy_node *node) {
    hy_lerp_args a = lerp_args(x, node);
    a.dx = hy_grad(x, node->in[LERP_X]);
    a.dz = hy_grad(x, node->in[LERP_Z]);
    a.acc_x = hy_acc(x, node, LERP_X);
    a.acc_z = hy_acc(x, node, LERP_Z);
    for (int i = 0; i < a.parts; i++) {
        a.dy[i] = hy_grad(x, node->out[i]);
        a.dm[i] = hy_grad(x, node->in[LERP_M + i]);
        a.dw[i] = hy_param_grad(x, node->w[i]);
    }
    hy_lerp_bwd(x->device, &a);
}

static const hy_node_class lerp_class = {
    .name = "lerp", .light = true, .bwd_reads_in = ~0u, .fwd = lerp_fwd, .bwd = lerp_bwd};

void hy_node_lerps(hy_graph *g, hy_var x, hy_var z, hy_act act, int n, const hy_mixture *mixtures, hy_var *out) {
    hy_var in[LERP_M + HY_LERP_MAX] = {x, z};
    for (int i = 0; i < n; i++) {
        in[LERP_M + i] = mixtures[i].m;
        out[i] = hy_graph_var(g, "lerp", hy_var_cols(g, x));
    }
    hy_node *node = hy_graph_node(g, &lerp_class, LERP_M + n, in, n, out);
    for (int i = 0; i < n && node; i++) {
        node->w[i] = mixtures[i].w;
        if (mixtures[i].m != HY_NONE) {
            g->vars[mixtures[i].m].grad_alias = out[i];
        }
    }
    if (node) {
        node->attr.lerp.act = act;
    }
}

hy_var hy_node_lerp(hy_graph *g, hy_var x, hy_var z, hy_act act, hy_var m, hy_weight w) {
    hy_var y = HY_NONE;
    hy_node_lerps(g, x, z, act, 1, &(hy_mixture){m, w}, &y);
    return y;
}

hy_var hy_node_lerp_weight(hy_graph *g, hy_var x, hy_var z, hy_weight w) {
    return hy_node_lerp(g, x, z, HY_ACT_IDENTITY, HY_NONE, w);
}
