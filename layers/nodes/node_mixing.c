/* Recurrences: nodes that look at other tokens, and so communicate, as those of node_attention.c and node_convolution.c. */

#include "base/product.h"
#include "kernels/cost.h"
#include "layers/nodes/nodes.h"

/* ---- recurrence ---- */

hy_recur_args hy_recur_shape(const hy_node *node, int64_t T) {
    return (hy_recur_args){.decay = node->attr.recur.decay,
                           .rule = node->attr.recur.rule,
                           .exclusive = node->attr.recur.exclusive,
                           .T = T,
                           .H = node->attr.recur.H,
                           .HV = node->attr.recur.HV,
                           .K = node->attr.recur.K,
                           .V = node->attr.recur.V,
                           .scale = node->attr.recur.scale,
                           .log_decay_max = node->attr.recur.log_decay_max};
}

static hy_sp_recur mixing_recur_args(const hy_exec *x, const hy_node *node) {
    hy_sp_recur r = {.op = hy_recur_shape(node, x->T), .kept = hy_kept(x, node), .work = hy_work(x, node)};
    r.op.q = hy_value(x, node->in[0]);
    r.op.k = hy_value(x, node->in[1]);
    r.op.v = hy_value(x, node->in[2]);
    r.op.g = hy_value(x, node->in[3]);
    r.op.beta = hy_value(x, node->in[4]);
    r.op.a = hy_value(x, node->in[5]);
    r.op.b = hy_value(x, node->in[6]);
    r.carried = hy_carried(x, node);
    return r;
}

static void recur_fwd(hy_exec *x, const hy_node *node) {
    hy_sp_recur r = mixing_recur_args(x, node);
    r.op.o = hy_value(x, node->out[0]);
    hy_sp_recur_fwd(x->sp, &r);
}

static void recur_recompute(hy_exec *x, const hy_node *node) {
    hy_sp_recur r = mixing_recur_args(x, node);
    r.op.o = hy_value(x, node->out[0]);
    hy_sp_recur_recompute(x->sp, &r);
}

static void recur_bwd(hy_exec *x, const hy_node *node) {
    hy_sp_recur r = mixing_recur_args(x, node);
    r.op.d_o = hy_grad(x, node->out[0]);
    r.op.dq = hy_grad(x, node->in[0]);
    r.op.dk = hy_grad(x, node->in[1]);
    r.op.dv = hy_grad(x, node->in[2]);
    r.op.dg = hy_grad(x, node->in[3]);
    r.op.dbeta = hy_grad(x, node->in[4]);
    r.op.da = hy_grad(x, node->in[5]);
    r.op.db = hy_grad(x, node->in[6]);
    hy_sp_recur_bwd(x->sp, &r);
}

static void recur_lists(const hy_node *node, hy_lists_needs *needs) {
    const hy_recur_args shape = hy_recur_shape(node, 0);
    hy_sp_recur_need(needs, &shape, 0);
}

static int64_t recur_kept(const hy_sizing *s, const hy_node *node) {
    hy_recur_args shape = hy_recur_shape(node, s->dims->T);
    return (int64_t)hy_sp_recur_kept(s->sp, s->dims, &shape);
}

static int64_t recur_carried(const hy_sizing *s, const hy_node *node) {
    hy_recur_args shape = hy_recur_shape(node, s->dims->T);
    return (int64_t)hy_sp_recur_carried(s->sp, &shape);
}

static int64_t mixing_recur_work(const hy_sizing *s, const hy_node *node) {
    hy_recur_args shape = hy_recur_shape(node, s->dims->T);
    return (int64_t)hy_sp_recur_work(s->sp, s->dims, &shape, 0);
}

/* The chunk form's products at C = 64, triangles counted half, whatever the kernel does. */
static double recur_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    (void)docs;
    (void)n_docs;
    return (double)tokens * (double)node->attr.recur.HV *
           hy_recur_flops(node->attr.recur.rule, node->attr.recur.K, node->attr.recur.V);
}

const hy_node_class hy_class_recur = {.name = "recurrence",
                                      .mixes = true,
                                      .by_fragment = true,
                                      .bwd_reads_in = 0x7f,
                                      .stat_in = 0x18,
                                      .late_in = 1,
                                      .overwrites = true,
                                      .fwd = recur_fwd,
                                      .recompute = recur_recompute,
                                      .bwd = recur_bwd,
                                      .kept = recur_kept,
                                      .work = mixing_recur_work,
                                      .carried = recur_carried,
                                      .lists = recur_lists,
                                      .flops = recur_flops};

static hy_node *add_recur(hy_graph *g, const hy_recur_vars *in, hy_rule rule, int64_t heads, int64_t value_heads,
                          hy_var *o) {
    const hy_var a = rule == HY_RULE_DPLR ? in->a : HY_NONE, b = rule == HY_RULE_DPLR ? in->b : HY_NONE;
    *o = hy_graph_var(g, "mixed", hy_var_cols(g, in->v));
    hy_node *node = hy_graph_node(g, &hy_class_recur, 7, (hy_var[]){in->q, in->k, in->v, in->g, in->beta, a, b}, 1, o);
    if (!node) {
        *o = HY_NONE;
        return NULL;
    }
    const hy_var keys = in->k != HY_NONE ? in->k : in->q;
    node->attr.recur.rule = rule;
    node->attr.recur.H = heads;
    node->attr.recur.HV = value_heads;
    node->attr.recur.K = keys != HY_NONE ? hy_var_cols(g, keys) / heads : 1;
    node->attr.recur.V = hy_var_cols(g, in->v) / value_heads;
    hy_graph_state(g, "state", hy_product(hy_product(value_heads, node->attr.recur.K), node->attr.recur.V));
    return node;
}

hy_var hy_node_recur(hy_graph *g, const hy_recur_vars *in, hy_decay decay, hy_rule rule, int64_t heads,
                     int64_t value_heads, double scale) {
    hy_var o;
    hy_node *node = add_recur(g, in, rule, heads, value_heads, &o);
    if (node) {
        node->attr.recur.decay = decay;
        node->attr.recur.scale = scale;
        node->attr.recur.log_decay_max = in->log_decay_max;
    }
    return o;
}

hy_var hy_node_recur_exclusive(hy_graph *g, const hy_recur_vars *in, hy_decay decay, int64_t heads, int64_t value_heads,
                               double scale) {
    hy_var o;
    hy_node *node = add_recur(g, in, HY_RULE_ADDITIVE, heads, value_heads, &o);
    if (node) {
        node->attr.recur.decay = decay;
        node->attr.recur.scale = scale;
        node->attr.recur.exclusive = 1;
    }
    return o;
}
