/* Builders of nodes: what mixers, blocks and the model are written in. Each adds one node and returns its output variable.
 * Names of parameters are relative to graph->prefix. Rows of a weight are its outputs, as in published checkpoints. */
#ifndef HY_LAYERS_NODES_H
#define HY_LAYERS_NODES_H

#include "layers/graph/graph.h"

/* y = x Wᵀ (+ bias): parameters name.weight [out,in] (name.bias [out]). */
hy_var hy_node_linear(hy_graph *g, hy_var x, const char *name, int64_t out, bool bias);
/* The same with given weights: w.offset selects a range of rows. bias.param may be HY_NONE. */
hy_var hy_node_linear_weight(hy_graph *g, hy_var x, hy_weight w, hy_weight bias, int64_t out);
/* The same with a range of columns of a weight that has w_cols of them, without bias: w.offset is that of the first. */
hy_var hy_node_linear_columns(hy_graph *g, hy_var x, hy_weight w, int64_t w_cols, int64_t out);
/* One matrix for every head: x [T,heads·in], w [out,in], bias [out] or HY_NONE; y [T,heads·out]. */
hy_var hy_node_linear_heads(hy_graph *g, hy_var x, int64_t heads, hy_weight w, hy_weight bias, int64_t out);
/* y = x + b, b [cols]. Requires: x has no other consumer. */
hy_var hy_node_bias(hy_graph *g, hy_var x, hy_weight bias);

/* Norms over groups of `cols` consecutive channels; weight name.weight [w_rows·cols], repeated over the row. */
hy_var hy_node_rmsnorm(hy_graph *g, hy_var x, const char *name, int64_t cols, int64_t w_rows, double eps);
/* The same, y = x/rms · (1 + weight). */
hy_var hy_node_rmsnorm_zero_centred(hy_graph *g, hy_var x, const char *name, int64_t cols, int64_t w_rows, double eps);
/* The norm ⊙ act(gate), gate as wide as x, in one call. */
hy_var hy_node_gated_rmsnorm(hy_graph *g, hy_var x, hy_var gate, hy_act act, const char *name, int64_t cols,
                             int64_t w_rows, double eps);
/* Minus the mean; bias name.bias if asked for. w_rows = heads with cols = head size is a GroupNorm of one group per head. */
hy_var hy_node_layernorm(hy_graph *g, hy_var x, const char *name, int64_t cols, int64_t w_rows, double eps, bool bias);
/* The same with given weights [w_rows·cols]. */
hy_var hy_node_layernorm_weight(hy_graph *g, hy_var x, hy_weight w, hy_weight bias, int64_t cols, int64_t w_rows,
                                double eps);
hy_var hy_node_l2norm(hy_graph *g, hy_var x, int64_t cols, double eps);
/* x / (Σx + eps). */
hy_var hy_node_sumnorm(hy_graph *g, hy_var x, int64_t cols, double eps);

hy_var hy_node_unary(hy_graph *g, hy_var x, hy_act act, double scale, double floor);
/* a ⊙ act(z); z has cols(a)/group columns. */
hy_var hy_node_glu(hy_graph *g, hy_var a, hy_var z, hy_act act);
/* x + branch, for residual streams: the three gradients share one buffer. Requires: `branch` has no other consumer, and x's other
 * consumers were all added before this node. */
hy_var hy_node_residual(hy_graph *g, hy_var x, hy_var branch);
/* [T,heads·cols] → [T,heads·repeat·cols]: every head `repeat` times in a row. */
hy_var hy_node_repeat(hy_graph *g, hy_var x, int64_t heads, int64_t repeat);
/* Channels first .. first + rot − 1 of every head turn. */
hy_var hy_node_rope(hy_graph *g, hy_var x, int64_t heads, int64_t head_dim, int64_t first, int64_t rot, double base);

/* The columns of x in n ≤ HY_NODE_OUTPUTS pieces, cols[i] each, as variables of their own. */
void hy_node_split(hy_graph *g, hy_var x, int n, const int64_t *cols, hy_var *out);

/* y[t,j] = add + x[t, j/expand]·act(w[j/group]) with w one element per group of columns of y (kernels.h, hy_scale). */
hy_var hy_node_scale(hy_graph *g, hy_var x, hy_weight w, hy_act act, int64_t expand, int64_t group);
/* The same on top of `add`, whose only consumer this is. */
hy_var hy_node_skip(hy_graph *g, hy_var add, hy_var x, hy_weight w, int64_t group);

/* A feature map of every head's `cols` channels. */
hy_var hy_node_feature(hy_graph *g, hy_var x, hy_feature_kind kind, int64_t cols);
/* For a normaliser: every head's channels get a column of ones; later that column divides the others: y = x/(last + eps). */
hy_var hy_node_append_one(hy_graph *g, hy_var x, int64_t heads);
/* add + s²/d·v per head, s = q·k over its d channels: what a token gives itself where weights are squared scores. This is the only consumer
 * of `add`. */
hy_var hy_node_own(hy_graph *g, hy_var add, hy_var q, hy_var k, hy_var v, int64_t heads);
hy_var hy_node_ratio(hy_graph *g, hy_var x, int64_t heads, double eps);

/* The token before, zero before a document's start. */
hy_var hy_node_shift(hy_graph *g, hy_var x);
/* out[i] = x + (z − x) ⊙ act(m_i + w_i), i < n ≤ HY_LERP_MAX, m [T,cols] or HY_NONE, w [cols]; act: identity or sigmoid.
 * Requires: an m has no other consumer. */
typedef struct hy_mixture {
    hy_var m;
    hy_weight w;
} hy_mixture;
void hy_node_lerps(hy_graph *g, hy_var x, hy_var z, hy_act act, int n, const hy_mixture *mixtures, hy_var *out);
/* One of them; one without m or act. */
hy_var hy_node_lerp(hy_graph *g, hy_var x, hy_var z, hy_act act, hy_var m, hy_weight w);
hy_var hy_node_lerp_weight(hy_graph *g, hy_var x, hy_var z, hy_weight w);

/* Depthwise causal convolution over the documents, then act: name.weight [cols,1,width]; bias name.bias [cols]. */
hy_var hy_node_conv(hy_graph *g, hy_var x, const char *name, int64_t width, bool bias, hy_act act);
/* The same with taps [cols·width] that are a variable. */
hy_var hy_node_conv_by(hy_graph *g, hy_var x, hy_var taps, int64_t width);
/* Taps of `channels` channels, each filter shared by channels/filters of them (kernels.h, hy_window_filter): name.h [filters,width], and
 * name.log_alpha [filters] if the damping is learned; low and high are its values at the start. */
typedef struct hy_window {
    int64_t filters, width;
    double low, high;
    bool learned;
} hy_window;
hy_var hy_node_window_filter(hy_graph *g, const char *name, int64_t channels, const hy_window *window);
/* Convolution as long as the documents with filters of `order` exponentials: name.R, name.p [filters,order]. */
hy_var hy_node_long_conv(hy_graph *g, hy_var x, const char *name, int64_t filters, int64_t order);

/* g = gate(x) with parameters A_log [H], dt_bias [H·K] (kernels.h, hy_decay_gate); x [T,H·K]. */
hy_var hy_node_decay_gate(hy_graph *g, hy_var x, int64_t heads, int64_t K, double lower_bound, double a_init_low);
/* The lower bound of `layer` [cols] from the parameter bounds [layers,cols] (kernels.h, hy_bound). */
hy_var hy_node_lower_bound(hy_graph *g, hy_weight bounds, int64_t cols, int64_t layer, int64_t layers);
/* Log decay log(bound + (1 − bound)·σ(x)), and *k = 1 − decay; bound HY_NONE = 0. */
hy_var hy_node_bounded_gate(hy_graph *g, hy_var x, hy_var bound, hy_var *k);
/* A constant log decay per head, [heads]. */
hy_var hy_node_head_decay(hy_graph *g, double (*log_decay)(int64_t head, int64_t heads, int64_t layer, int64_t layers),
                          int64_t heads, int64_t layer, int64_t layers);

/* g, beta may be HY_NONE; a, b are read for HY_RULE_DPLR only. q and k may be HY_NONE = ones, K = 1: then heads = 1, value_heads = channels. */
typedef struct hy_recur_vars {
    hy_var q, k, v, g, beta, a, b;
    double log_decay_max; /* what no head's log decay per token exceeds, whatever is learned; 0: it may not decay */
} hy_recur_vars;
hy_var hy_node_recur(hy_graph *g, const hy_recur_vars *in, hy_decay decay, hy_rule rule, int64_t heads,
                     int64_t value_heads, double scale);
/* Additive rule; o reads the state before the token's decay and update. */
hy_var hy_node_recur_exclusive(hy_graph *g, const hy_recur_vars *in, hy_decay decay, int64_t heads, int64_t value_heads,
                               double scale);
/* (Σ_K r⊙u⊙k)·v per head, to be added to an output (hy_node_residual); u [heads,K]. */
hy_var hy_node_bonus(hy_graph *g, hy_var r, hy_var k, hy_var v, hy_weight u, int64_t heads);

/* Log-linear: one state per Fenwick level, read with the scales l [value_heads·levels] (kernels.h, hy_level_recur). */
hy_var hy_node_level_recur(hy_graph *g, const hy_recur_vars *in, hy_var l, hy_decay decay, hy_rule rule, int64_t heads,
                           int64_t value_heads, double scale);
/* l = softplus(L ⊙ x), L a parameter [value_heads,levels]. */
hy_var hy_node_level_scales(hy_graph *g, hy_var x, int64_t value_heads, int64_t levels);

typedef struct hy_attn_shape {
    int64_t heads, kv_heads, head_dim, value_dim, window, sinks;
    double scale;
} hy_attn_shape;
/* With sinks: parameter sinks [heads,sinks], logits in the softmax's denominator only. */
hy_var hy_node_attention(hy_graph *g, hy_var q, hy_var k, hy_var v, const hy_attn_shape *shape);
/* Keys and values from latent [T,rank] and shared [T,rope] (sp.h, hy_sp_latent), by name.weight [kv_heads·(head_dim−rope+value_dim),rank];
 * ranks exchange the two as they are. */
hy_var hy_node_latent_attention(hy_graph *g, hy_var q, hy_var latent, hy_var shared, const char *name,
                                const hy_attn_shape *shape);

/* The two ends. frozen: token whose row gets no gradient here; -1 = none. */
hy_var hy_node_embed(hy_graph *g, hy_weight w, int64_t width, int64_t vocab, int64_t frozen);
void hy_node_head_loss(hy_graph *g, hy_var x, hy_weight w, int64_t width, int64_t vocab);

/* Classes that callers recognise. */
extern const hy_node_class hy_class_recur, hy_class_levels, hy_class_attention, hy_class_conv, hy_class_long_conv;
/* Shape-only argument structs of such nodes, for byte counts. */
hy_recur_args hy_recur_shape(const hy_node *node, int64_t T);
hy_level_recur_args hy_level_recur_shape(const hy_node *node, int64_t T);
hy_sp_attn hy_attention_shape(const hy_node *node);

#endif
