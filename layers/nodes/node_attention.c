/* Softmax attention over the documents: from q, k, v; or from q and a latent, of which keys and values are made where they are read
 * (sp.h, hy_sp_latent). O and its log-sum-exp are kept, so a recompute skips it. */
#include <stdio.h>

#include "layers/nodes/nodes.h"

hy_sp_attn hy_attention_shape(const hy_node *node) {
    return (hy_sp_attn){.H = node->attr.attn.H,
                        .HKV = node->attr.attn.HKV,
                        .D = node->attr.attn.D,
                        .DV = node->attr.attn.DV,
                        .window = node->attr.attn.window,
                        .scale = node->attr.attn.scale,
                        .latent = {.rank = node->attr.attn.rank, .rope = node->attr.attn.rope},
                        .n_sinks = node->attr.attn.sinks};
}

static hy_sp_attn attention_args(const hy_exec *x, const hy_node *node) {
    hy_sp_attn a = hy_attention_shape(node);
    a.q = hy_value(x, node->in[0]);
    a.k = hy_value(x, node->in[1]);
    a.v = hy_value(x, node->in[2]);
    a.latent.w = hy_param_value(x, node->w[0]);
    a.sinks = hy_param_value(x, node->w[1]);
    a.o = hy_value(x, node->out[0]);
    a.lse = hy_value(x, node->out[1]);
    a.kept = hy_kept(x, node);
    a.work = hy_work(x, node);
    a.carried = hy_carried(x, node);
    return a;
}

static void attention_fwd(hy_exec *x, const hy_node *node) {
    hy_sp_attn a = attention_args(x, node);
    hy_sp_attn_fwd(x->sp, &a);
}

static void attention_bwd(hy_exec *x, const hy_node *node) {
    hy_sp_attn a = attention_args(x, node);
    a.d_o = hy_grad(x, node->out[0]);
    a.dq = hy_grad(x, node->in[0]);
    a.dk = hy_grad(x, node->in[1]);
    a.dv = hy_grad(x, node->in[2]);
    a.latent.dw = hy_param_grad(x, node->w[0]);
    a.dsinks = hy_param_grad(x, node->w[1]);
    hy_sp_attn_bwd(x->sp, &a);
}

static void attention_lists(const hy_node *node, hy_lists_needs *needs) {
    const hy_sp_attn shape = hy_attention_shape(node);
    hy_sp_attn_need(needs, &shape);
}

static int64_t attention_kept(const hy_sizing *s, const hy_node *node) {
    const hy_sp_attn shape = hy_attention_shape(node);
    return (int64_t)hy_sp_attn_kept(s->sp, s->dims, &shape);
}

static int64_t attention_carried(const hy_sizing *s, const hy_node *node) {
    const hy_sp_attn shape = hy_attention_shape(node);
    return hy_sp_attn_carried(s->sp, &shape);
}

static int64_t attention_work(const hy_sizing *s, const hy_node *node) {
    hy_sp_attn shape = hy_attention_shape(node);
    return (int64_t)hy_sp_attn_work(s->sp, s->dims, &shape);
}

/* Pairs (query, visible key) over all documents: causal, at most `window` keys each. */
static double visible_pairs(const int64_t *docs, int64_t n_docs, int64_t window) {
    double pairs = 0;
    for (int64_t d = 0; d < n_docs; d++) {
        double n = (double)(docs[d + 1] - docs[d]), w = window > 0 && (double)window < n ? (double)window : n;
        pairs += w * (w + 1) / 2 + (n - w) * w;
    }
    return pairs;
}

/* Keys and values of a latent count once, however many ranks make them. */
static double attention_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    double D = (double)node->attr.attn.D, DV = (double)node->attr.attn.DV;
    double made = (double)(node->attr.attn.rank * node->attr.attn.HKV) * (D - (double)node->attr.attn.rope + DV);
    return 2.0 * (visible_pairs(docs, n_docs, node->attr.attn.window) * (double)node->attr.attn.H * (D + DV) +
                  (double)tokens * made);
}

const hy_node_class hy_class_attention = {.name = "attention",
                                          .mixes = true,
                                          .bwd_reads_in = 7,
                                          .late_in = 1,
                                          .overwrites = true,
                                          .bwd_reads_out = 3,
                                          .stat_out = 2,
                                          .fwd = attention_fwd,
                                          .bwd = attention_bwd,
                                          .kept = attention_kept,
                                          .work = attention_work,
                                          .carried = attention_carried,
                                          .lists = attention_lists,
                                          .flops = attention_flops};

hy_var hy_node_attention(hy_graph *g, hy_var q, hy_var k, hy_var v, const hy_attn_shape *shape) {
    hy_weight sinks = {HY_NONE, 0};
    if (shape->sinks > 0) {
        sinks = hy_graph_param(g, "sinks", 2, (int64_t[]){shape->heads, shape->sinks}, HY_INIT_NORMAL, false);
    }
    hy_var o = hy_graph_var(g, "attended", shape->heads * shape->value_dim);
    hy_var lse = hy_graph_var(g, "lse", shape->heads);
    hy_node *node = hy_graph_node(g, &hy_class_attention, 3, (hy_var[]){q, k, v}, 2, (hy_var[]){o, lse});
    if (!node) {
        return HY_NONE;
    }
    g->vars[o].kept = g->vars[lse].kept = true;
    g->vars[lse].has_grad = false;
    node->w[1] = sinks;
    node->attr.attn.H = shape->heads;
    node->attr.attn.HKV = shape->kv_heads;
    node->attr.attn.D = shape->head_dim;
    node->attr.attn.DV = shape->value_dim;
    node->attr.attn.window = shape->window;
    node->attr.attn.sinks = shape->sinks;
    node->attr.attn.scale = shape->scale;
    return o;
}

hy_var hy_node_latent_attention(hy_graph *g, hy_var q, hy_var latent, hy_var shared, const char *name,
                                const hy_attn_shape *shape) {
    int64_t rank = hy_var_cols(g, latent), rope = hy_var_cols(g, shared);
    int64_t rows = shape->kv_heads * (shape->head_dim - rope + shape->value_dim);
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    hy_weight w = hy_graph_param(g, full, 2, (int64_t[]){rows, rank}, HY_INIT_NORMAL, true);
    hy_var o = hy_node_attention(g, q, latent, shared, shape);
    if (o != HY_NONE) {
        hy_node *node = &g->nodes[g->vars[o].producer];
        hy_graph_matrix(g, w);
        node->w[0] = w;
        node->attr.attn.rank = rank;
        node->attr.attn.rope = rope;
    }
    return o;
}
