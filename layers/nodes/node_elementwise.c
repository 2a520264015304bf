/* Activations, gated products, the residual sum, repetition of heads, rotary embedding. */
#include <math.h>

#include "layers/nodes/nodes.h"

/* ---- unary ---- */

static hy_unary_args unary_args(const hy_exec *x, const hy_node *node) {
    return (hy_unary_args){.act = node->attr.unary.act,
                           .n = x->T * x->graph->vars[node->in[0]].cols,
                           .scale = node->attr.unary.scale,
                           .floor = node->attr.unary.floor,
                           .x = hy_value(x, node->in[0]),
                           .from = hy_var_role(x, node->in[0]),
                           .to = hy_var_role(x, node->out[0])};
}

static void unary_fwd(hy_exec *x, const hy_node *node) {
    hy_unary_args a = unary_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_unary_fwd(x->device, &a);
}

static void unary_bwd(hy_exec *x, const hy_node *node) {
    hy_unary_args a = unary_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    hy_unary_bwd(x->device, &a);
}

static const hy_node_class unary_class = {.name = "unary",
                                          .light = true,
                                          .bwd_reads_in = 1,
                                          .either_out = true,
                                          .either_in = 1,
                                          .fwd = unary_fwd,
                                          .bwd = unary_bwd};

hy_var hy_node_unary(hy_graph *g, hy_var x, hy_act act, double scale, double floor) {
    hy_var y = hy_graph_var(g, "act", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &unary_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.unary.act = act;
    node->attr.unary.scale = scale;
    node->attr.unary.floor = floor;
    return y;
}

/* ---- gated product ---- */

static hy_glu_args glu_args(const hy_exec *x, const hy_node *node) {
    return (hy_glu_args){.act = node->attr.glu.act,
                         .n = x->T * x->graph->vars[node->in[0]].cols,
                         .group = node->attr.glu.group,
                         .a = hy_value(x, node->in[0]),
                         .z = hy_value(x, node->in[1]),
                         .z_role = hy_var_role(x, node->in[1])};
}

static void glu_fwd(hy_exec *x, const hy_node *node) {
    hy_glu_args a = glu_args(x, node);
    a.y = hy_value(x, node->out[0]);
    hy_glu_fwd(x->device, &a);
}

static void glu_bwd(hy_exec *x, const hy_node *node) {
    hy_glu_args a = glu_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.da = hy_grad(x, node->in[0]);
    a.dz = hy_grad(x, node->in[1]);
    a.acc_a = hy_acc(x, node, 0);
    a.acc_z = hy_acc(x, node, 1);
    hy_glu_bwd(x->device, &a);
}

static const hy_node_class glu_class = {
    .name = "glu", .light = true, .bwd_reads_in = 3, .either_in = 2, .fwd = glu_fwd, .bwd = glu_bwd};

hy_var hy_node_glu(hy_graph *g, hy_var a, hy_var z, hy_act act) {
    hy_var y = hy_graph_var(g, "gated", hy_var_cols(g, a));
    hy_node *node = hy_graph_node(g, &glu_class, 2, (hy_var[]){a, z}, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.glu.act = act;
    node->attr.glu.group = hy_var_cols(g, a) / hy_var_cols(g, z);
    return y;
}

/* ---- residual sum ---- */

static void residual_fwd(hy_exec *x, const hy_node *node) {
    hy_add(x->device, &(hy_add_args){.n = x->T * x->graph->vars[node->out[0]].cols,
                                     .a = hy_value(x, node->in[0]),
                                     .b = hy_value(x, node->in[1]),
                                     .y = hy_value(x, node->out[0])});
}

static const hy_node_class residual_class = {.name = "residual", .sums = true, .fwd = residual_fwd};

hy_var hy_node_residual(hy_graph *g, hy_var x, hy_var branch) {
    hy_var y = hy_graph_var(g, "residual", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &residual_class, 2, (hy_var[]){x, branch}, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    g->vars[x].grad_alias = y;
    g->vars[branch].grad_alias = y;
    return y;
}

/* ---- repeat heads ---- */

/* Heads are consecutive, so [T,heads,cols] is T·heads rows. */
static hy_repeat_args repeat_args(const hy_exec *x, const hy_node *node) {
    return (hy_repeat_args){.rows = x->T * node->attr.repeat.heads,
                            .repeat = node->attr.repeat.repeat,
                            .cols = node->attr.repeat.cols,
                            .from = hy_var_role(x, node->in[0]),
                            .to = hy_var_role(x, node->out[0])};
}

static void repeat_fwd(hy_exec *x, const hy_node *node) {
    hy_repeat_args a = repeat_args(x, node);
    a.x = hy_value(x, node->in[0]);
    a.y = hy_value(x, node->out[0]);
    hy_repeat_fwd(x->device, &a);
}

static void repeat_bwd(hy_exec *x, const hy_node *node) {
    hy_repeat_args a = repeat_args(x, node);
    a.dy = hy_grad(x, node->out[0]);
    a.dx = hy_grad(x, node->in[0]);
    a.acc = hy_acc(x, node, 0);
    hy_repeat_bwd(x->device, &a);
}

static const hy_node_class repeat_class = {
    .name = "repeat", .light = true, .either_out = true, .either_in = 1, .fwd = repeat_fwd, .bwd = repeat_bwd};

hy_var hy_node_repeat(hy_graph *g, hy_var x, int64_t heads, int64_t repeat) {
    if (repeat == 1) {
        return x;
    }
    hy_var y = hy_graph_var(g, "repeat", hy_var_cols(g, x) * repeat);
    hy_node *node = hy_graph_node(g, &repeat_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.repeat.heads = heads;
    node->attr.repeat.repeat = repeat;
    node->attr.repeat.cols = hy_var_cols(g, x) / heads;
    return y;
}

/* ---- rotary embedding: its backward is the rotation the other way ---- */

static hy_rope_args rope_args(const hy_exec *x, const hy_node *node) {
    return (hy_rope_args){.T = x->T,
                          .H = node->attr.rope.H,
                          .D = node->attr.rope.D,
                          .first = node->attr.rope.first,
                          .rot = node->attr.rope.rot,
                          .base = node->attr.rope.base,
                          .pos = x->sp->lists->doc_pos.device + x->row};
}

static void rope_fwd(hy_exec *x, const hy_node *node) {
    hy_rope_args a = rope_args(x, node);
    a.x = hy_value(x, node->in[0]);
    a.y = hy_value(x, node->out[0]);
    hy_rope(x->device, &a);
}

static void rope_bwd(hy_exec *x, const hy_node *node) {
    hy_rope_args a = rope_args(x, node);
    a.inverse = 1;
    a.acc = hy_acc(x, node, 0);
    a.x = hy_grad(x, node->out[0]);
    a.y = hy_grad(x, node->in[0]);
    hy_rope(x->device, &a);
}

static const hy_node_class rope_class = {.name = "rope", .light = true, .fwd = rope_fwd, .bwd = rope_bwd};

hy_var hy_node_rope(hy_graph *g, hy_var x, int64_t heads, int64_t head_dim, int64_t first, int64_t rot, double base) {
    hy_var y = hy_graph_var(g, "rope", hy_var_cols(g, x));
    hy_node *node = hy_graph_node(g, &rope_class, 1, &x, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    node->attr.rope.H = heads;
    node->attr.rope.D = head_dim;
    node->attr.rope.first = first;
    node->attr.rope.rot = rot;
    node->attr.rope.base = base;
    return y;
}
