/* Lizard (Nguyen et al. 2025): linear attention with one decay for all heads, beside softmax attention over a window. Per head h,
 *
 *   φ(x) = [softmax(Wx) | softmax(−Wx)],  W the same for all heads, q and k;   g = logsigmoid(gate_proj x)
 *   S = e^g S + φ(k) vᵀ,  z = e^g z + φ(k);   y = Sᵀφ(q) / zᵀφ(q) + α · softmax attention(q, k, v)
 *
 * with learned sinks in the attention's denominator, a learned α for the layer, no positions. z is a column of S: v ends in a 1. */
#include <math.h>

#include "layers/mixers/mixer.h"

/* zᵀφ(q) is positive, but may underflow: then Sᵀφ(q) is 0 too, and so is the quotient. */
#define NORMALISER_EPS 1e-20

const hy_mixer_key hy_lizard_keys[] = {
    {.name = "heads", .preset = "width/128", .help = "query heads"},
    {.name = "kv_heads", .preset = "heads", .help = "key and value heads, each serving heads/kv_heads query heads"},
    {.name = "head_dim", .preset = "width/heads"},
    {.name = "value_dim", .preset = "head_dim"},
    {.name = "feature_dim", .preset = "128", .help = "rows of the learned feature map"},
    {.name = "window", .preset = "128"},
    {.name = "sinks", .preset = "4"},
    {.name = "qkv_bias"},
    {.name = NULL}};

hy_status hy_lizard_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, config->width >= 128 ? config->width / 128 : 1, 1));
    HY_TRY(hy_mixer_default(r, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, config->width / m->heads, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, m->head_dim, 1));
    HY_TRY(hy_mixer_default(r, "feature_dim", &m->feature_dim, 128, 1));
    HY_TRY(hy_mixer_default(r, "window", &m->window, 128, 0));
    HY_TRY(hy_mixer_default(r, "sinks", &m->sinks, 4, 0));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 0, 0));
    m->rope_base = 0;
    if (m->heads % m->kv_heads != 0) {
        return hy_mixer_fail(r, "kv_heads", "does not divide %s", hy_mixer_value(r, "heads").s);
    }
    m->qk_norm = HY_QK_NORM_NONE;
    m->output_gate = HY_GATE_NONE;
    return HY_OK;
}

static hy_var features(hy_graph *g, const hy_mixer_config *m, hy_var x, int64_t heads, hy_weight w) {
    hy_var mapped = hy_node_linear_heads(g, x, heads, w, (hy_weight){HY_NONE, 0}, m->feature_dim);
    return hy_node_feature(g, mapped, HY_FEATURES_TWO_SOFTMAX, m->feature_dim);
}

static hy_var linear_part(hy_graph *g, const hy_mixer_config *m, hy_var x, hy_var q, hy_var k, hy_var v) {
    int64_t repeat = m->heads / m->kv_heads;
    hy_weight w =
        hy_graph_param(g, "feature_map.weight", 2, (int64_t[]){m->feature_dim, m->head_dim}, HY_INIT_NORMAL, true);
    hy_var gate = hy_node_unary(g, hy_node_linear(g, x, "gate_proj", 1, false), HY_ACT_LOGSIGMOID, 1, -INFINITY);
    hy_recur_vars in = {.q = features(g, m, q, m->heads, w),
                        .k = hy_node_repeat(g, features(g, m, k, m->kv_heads, w), m->kv_heads, repeat),
                        .v = hy_node_append_one(g, hy_node_repeat(g, v, m->kv_heads, repeat), m->heads),
                        .g = hy_node_repeat(g, gate, 1, m->heads),
                        .beta = HY_NONE,
                        .a = HY_NONE,
                        .b = HY_NONE};
    hy_var o = hy_node_recur(g, &in, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, m->heads, m->heads, 1);
    return hy_node_ratio(g, o, m->heads, NORMALISER_EPS);
}

/* Attention comes after the linear part: its backward is the first, and overwrites the gradients that both give to q, k, v. */
hy_var hy_lizard_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                       int64_t layer, hy_var x) {
    (void)row;
    (void)layer;
    hy_var q = hy_node_linear(g, x, "q_proj", m->heads * m->head_dim, m->qkv_bias);
    hy_var k = hy_node_linear(g, x, "k_proj", m->kv_heads * m->head_dim, m->qkv_bias);
    hy_var v = hy_node_linear(g, x, "v_proj", m->kv_heads * m->value_dim, m->qkv_bias);
    hy_var far = linear_part(g, m, x, q, k, v);
    hy_var near = hy_node_attention(g, q, k, v,
                                    &(hy_attn_shape){.heads = m->heads,
                                                     .kv_heads = m->kv_heads,
                                                     .head_dim = m->head_dim,
                                                     .value_dim = m->value_dim,
                                                     .window = m->window,
                                                     .sinks = m->sinks,
                                                     .scale = 1 / sqrt((double)m->head_dim)});
    hy_weight alpha = hy_graph_param(g, "alpha", 1, (int64_t[]){1}, HY_INIT_ONE, false);
    hy_var y = hy_node_skip(g, far, near, alpha, m->heads * m->value_dim);
    return hy_node_linear(g, y, "o_proj", config->width, false);
}
