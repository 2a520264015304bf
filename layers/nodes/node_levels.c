/* Log-linear recurrence (Guo et al. 2025): the recurrence with one state per Fenwick level, each read with a scale of its own that is
 * learned from the token. Communicates as the recurrence does. */
#include <math.h>

#include "base/product.h"
#include "layers/nodes/nodes.h"

hy_level_recur_args hy_level_recur_shape(const hy_node *node, int64_t T) {
    return (hy_level_recur_args){.base = hy_recur_shape(node, T), .L = node->attr.recur.levels};
}

static hy_sp_level_recur level_args(const hy_exec *x, const hy_node *node) {
    hy_sp_level_recur r = {.op = hy_level_recur_shape(node, x->T),
                           .kept = hy_kept(x, node),
                           .work = hy_work(x, node),
                           .carried = hy_carried(x, node)};
    r.op.base.q = hy_value(x, node->in[0]);
    r.op.base.k = hy_value(x, node->in[1]);
    r.op.base.v = hy_value(x, node->in[2]);
    r.op.base.g = hy_value(x, node->in[3]);
    r.op.base.beta = hy_value(x, node->in[4]);
    r.op.l = hy_value(x, node->in[5]);
    return r;
}

static void level_fwd(hy_exec *x, const hy_node *node) {
    hy_sp_level_recur r = level_args(x, node);
    r.op.base.o = hy_value(x, node->out[0]);
    hy_sp_level_recur_fwd(x->sp, &r);
}

static void level_recompute(hy_exec *x, const hy_node *node) {
    hy_sp_level_recur r = level_args(x, node);
    r.op.base.o = hy_value(x, node->out[0]);
    hy_sp_level_recur_recompute(x->sp, &r);
}

static void level_bwd(hy_exec *x, const hy_node *node) {
    hy_sp_level_recur r = level_args(x, node);
    r.op.base.d_o = hy_grad(x, node->out[0]);
    r.op.base.dq = hy_grad(x, node->in[0]);
    r.op.base.dk = hy_grad(x, node->in[1]);
    r.op.base.dv = hy_grad(x, node->in[2]);
    r.op.base.dg = hy_grad(x, node->in[3]);
    r.op.base.dbeta = hy_grad(x, node->in[4]);
    r.op.dl = hy_grad(x, node->in[5]);
    hy_sp_level_recur_bwd(x->sp, &r);
}

static void level_lists(const hy_node *node, hy_lists_needs *needs) {
    const hy_level_recur_args shape = hy_level_recur_shape(node, 0);
    hy_sp_level_recur_need(needs, &shape);
}

static int64_t level_kept(const hy_sizing *s, const hy_node *node) {
    const hy_level_recur_args shape = hy_level_recur_shape(node, s->dims->T);
    return (int64_t)hy_sp_level_recur_kept(s->sp, s->dims, &shape);
}

static int64_t level_carried(const hy_sizing *s, const hy_node *node) {
    const hy_level_recur_args shape = hy_level_recur_shape(node, s->dims->T);
    return (int64_t)hy_sp_level_recur_carried(s->sp, &shape);
}

static int64_t levels_work(const hy_sizing *s, const hy_node *node) {
    const hy_level_recur_args shape = hy_level_recur_shape(node, s->dims->T);
    return (int64_t)hy_sp_level_recur_work(s->sp, s->dims, &shape);
}

/* Blocks of at least 64 tokens that a token reads on average: half of the bits above the sixth of its position. */
static double blocks_read(const int64_t *docs, int64_t n_docs) {
    double sum = 0, tokens = 0;
    for (int64_t d = 0; d < n_docs; d++) {
        const int64_t len = docs[d + 1] - docs[d];
        for (int64_t chunks = (len - 1) >> 6; chunks > 0; chunks >>= 1) {
            sum += 0.5 * (double)len;
        }
        tokens += (double)len;
    }
    return tokens > 0 ? sum / tokens : 0;
}

/* The chunk form's products at C = 64, triangles counted half: the weights inside the chunk, one state written, every larger block's
 * state read (delta rule: and put through the chunk's transition). */
static double levels_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    const double C = 64, K = (double)node->attr.recur.K, V = (double)node->attr.recur.V,
                 blocks = blocks_read(docs, n_docs);
    const double per_token = node->attr.recur.rule == HY_RULE_DELTA
                                 ? C * K + C * C / 3 + C * (K + V) / 2 + C * V / 2 + K * V + 3 * blocks * K * V
                                 : C * K / 2 + C * V / 2 + K * V + blocks * K * V;
    return 2.0 * (double)tokens * (double)node->attr.recur.HV * per_token;
}

const hy_node_class hy_class_levels = {.name = "log-linear recurrence",
                                       .mixes = true,
                                       .by_fragment = true,
                                       .bwd_reads_in = 0x3f,
                                       .stat_in = 0x38,
                                       .late_in = 0x21,
                                       .overwrites = true,
                                       .fwd = level_fwd,
                                       .recompute = level_recompute,
                                       .bwd = level_bwd,
                                       .kept = level_kept,
                                       .work = levels_work,
                                       .carried = level_carried,
                                       .lists = level_lists,
                                       .flops = levels_flops};

hy_var hy_node_level_recur(hy_graph *g, const hy_recur_vars *in, hy_var l, hy_decay decay, hy_rule rule, int64_t heads,
                           int64_t value_heads, double scale) {
    hy_var o = hy_graph_var(g, "mixed", hy_var_cols(g, in->v));
    hy_node *node = hy_graph_node(g, &hy_class_levels, 6, (hy_var[]){in->q, in->k, in->v, in->g, in->beta, l}, 1, &o);
    if (!node) {
        return HY_NONE;
    }
    node->attr.recur.decay = decay;
    node->attr.recur.rule = rule;
    node->attr.recur.H = heads;
    node->attr.recur.HV = value_heads;
    node->attr.recur.K = hy_var_cols(g, in->q) / heads;
    node->attr.recur.V = hy_var_cols(g, in->v) / value_heads;
    node->attr.recur.levels = hy_var_cols(g, l) / value_heads;
    node->attr.recur.scale = scale;
    hy_graph_state(
        g, "states",
        hy_product(hy_product(value_heads, node->attr.recur.K), node->attr.recur.V * node->attr.recur.levels));
    return o;
}

hy_var hy_node_level_scales(hy_graph *g, hy_var x, int64_t value_heads, int64_t levels) {
    hy_weight w = hy_graph_param(g, "L", 2, (int64_t[]){value_heads, levels}, HY_INIT_ONE, false);
    return hy_node_unary(g, hy_node_scale(g, x, w, HY_ACT_IDENTITY, 1, 1), HY_ACT_SOFTPLUS, 1, -INFINITY);
}
