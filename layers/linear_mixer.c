/* The generic linear layer: reads a row of the table (linear_row.h) and adds nodes. No mixer has code of its own here. */
#include <math.h>

#include "layers/linear_row.h"

static hy_status resolve_heads(const hy_linear_row *row, const hy_model_config *config, hy_mixer_config *m) {
    int64_t per_head = row->head_dim ? row->head_dim : 128;
    int64_t heads = row->heads ? row->heads : config->width / per_head;
    HY_TRY(hy_mixer_default(m, "heads", &m->heads, heads > 0 ? heads : 1, 1));
    HY_TRY(hy_mixer_default(m, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(m, "value_heads", &m->value_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(m, "head_dim", &m->head_dim, row->head_dim ? row->head_dim : (int64_t)((double)config->width * row->key_ratio) / m->heads, 1));
    HY_TRY(hy_mixer_default(m, "value_dim", &m->value_dim, row->value_ratio > 0 ? (int64_t)((double)config->width * row->value_ratio) / m->heads : m->head_dim, 1));
    if (m->heads % m->kv_heads != 0) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.kv_heads: %lld does not divide heads = %lld", m->name, (long long)m->kv_heads, (long long)m->heads);
    }
    if (m->value_heads % m->heads != 0) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.value_heads: %lld is no multiple of heads = %lld", m->name, (long long)m->value_heads, (long long)m->heads);
    }
    if (m->kv_heads != m->heads && (row->rule == HY_RULE_DELTA || m->value_heads != m->heads)) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.kv_heads: only additive mixers share keys and values; use value_heads", m->name);
    }
    return HY_OK;
}

hy_status hy_linear_resolve(const hy_mixer_row *table_row, const hy_model_config *config, hy_mixer_config *m) {
    const hy_linear_row *row = table_row->linear;
    HY_TRY(resolve_heads(row, config, m));
    HY_TRY(hy_mixer_default(m, "conv", &m->conv, row->conv, 0));
    HY_TRY(hy_mixer_default(m, "gate_rank", &m->gate_rank, 16, 1));
    m->rope_base = m->rope_base == HY_DEFAULT ? row->rope_base : m->rope_base;
    m->qk_norm = m->qk_norm == HY_QK_NORM_DEFAULT ? row->qk_norm : m->qk_norm;
    m->output_gate = m->output_gate == HY_GATE_DEFAULT ? row->gate : m->output_gate;
    m->feature_map = m->feature_map == HY_FEATURE_DEFAULT ? row->feature_map : m->feature_map;
    if (m->output_gate == HY_GATE_HEAD || m->output_gate == HY_GATE_CHANNEL) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.output_gate: 'head' and 'channel' are for softmax attention; nearest: sigmoid", m->name);
    }
    if (m->qk_norm == HY_QK_NORM_RMS_HEAD || m->qk_norm == HY_QK_NORM_RMS_ALL) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.qk_norm: RMS norms are for softmax attention; nearest: l2", m->name);
    }
    if (m->rope_base > 0 && m->head_dim % 2 != 0) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.head_dim: %lld is odd, which a rotary embedding cannot turn", m->name, (long long)m->head_dim);
    }
    if (m->window > 0 || m->sinks > 0) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.%s: only softmax attention has it", m->name, m->window > 0 ? "window" : "sinks");
    }
    m->window = 0;
    return HY_OK;
}

static hy_act feature_act(hy_feature_map map) {
    switch (map) {
    case HY_FEATURE_RELU:
        return HY_ACT_RELU;
    case HY_FEATURE_SILU:
        return HY_ACT_SILU;
    case HY_FEATURE_ELU:
        return HY_ACT_ELU1;
    default:
        return HY_ACT_IDENTITY;
    }
}

static hy_var activate(hy_graph *g, hy_var x, hy_act act) {
    return act == HY_ACT_IDENTITY ? x : hy_node_unary(g, x, act, 1, -INFINITY);
}

/* Projection, convolution if there is one, activation. In rows that are `activated`, `feature` is that activation, with or without
 * convolution; in the others the convolution brings its own SiLU and the feature map comes after. */
static hy_var project(hy_graph *g, const hy_linear_row *row, const hy_mixer_config *m, hy_var x, const char *const names[2], int64_t cols, hy_act feature) {
    hy_var y = hy_node_linear(g, x, names[0], cols, false);
    if (m->conv > 0) {
        hy_act fused = row->activated && feature != HY_ACT_SILU ? HY_ACT_IDENTITY : HY_ACT_SILU;
        y = hy_node_conv(g, y, names[1], m->conv, false, fused);
        feature = row->activated && fused == HY_ACT_SILU ? HY_ACT_IDENTITY : feature;
    }
    return activate(g, y, feature);
}

static hy_var normalise(hy_graph *g, const hy_mixer_config *m, hy_var x) {
    if (m->qk_norm == HY_QK_NORM_L2) {
        return hy_node_l2norm(g, x, m->head_dim, 1e-6);
    }
    return m->qk_norm == HY_QK_NORM_SUM ? hy_node_sumnorm(g, x, m->head_dim, 0) : x;
}

static hy_var decay(hy_graph *g, const hy_linear_row *row, const hy_model_config *config, const hy_mixer_config *m, int64_t layer, hy_var x) {
    switch (row->source) {
    case HY_DECAY_FROM_HEAD:
        return hy_node_head_decay(g, row->log_decay, m->value_heads, layer, config->layers);
    case HY_DECAY_FROM_LOW_RANK: {
        hy_var low = hy_node_linear(g, x, "gk_proj.0", m->gate_rank, false);
        hy_var full = hy_node_linear(g, low, "gk_proj.1", m->kv_heads * m->head_dim, true);
        hy_var gate = hy_node_unary(g, full, HY_ACT_LOGSIGMOID, 1 / m->gate_divisor, m->gate_floor);
        return hy_node_repeat(g, gate, m->kv_heads, m->heads / m->kv_heads);
    }
    case HY_DECAY_FROM_STEP:
        return hy_node_decay_gate(g, hy_node_linear(g, x, "a_proj", m->value_heads, false), m->value_heads, 1, 0, 0);
    default:
        return HY_NONE;
    }
}

hy_var hy_linear_build(const hy_mixer_row *table_row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m, int64_t layer, hy_var x) {
    const hy_linear_row *row = table_row->linear;
    int64_t K = m->head_dim, V = m->value_dim, values = row->rule == HY_RULE_DELTA ? m->value_heads : m->kv_heads, repeat = m->heads / m->kv_heads;
    hy_act feature = feature_act(m->feature_map);
    hy_recur_vars in;
    in.q = project(g, row, m, x, (const char *[]){"q_proj", "q_conv1d"}, m->heads * K, feature);
    in.k = project(g, row, m, x, (const char *[]){"k_proj", "k_conv1d"}, m->kv_heads * K, feature);
    in.v = project(g, row, m, x, (const char *[]){"v_proj", "v_conv1d"}, values * V, row->activated ? HY_ACT_SILU : HY_ACT_IDENTITY);
    in.q = normalise(g, m, in.q);
    in.k = normalise(g, m, in.k);
    if (m->rope_base > 0) {
        in.q = hy_node_rope(g, in.q, m->heads, K, 0, K, m->rope_base);
        in.k = hy_node_rope(g, in.k, m->kv_heads, K, 0, K, m->rope_base);
    }
    in.k = hy_node_repeat(g, in.k, m->kv_heads, repeat);
    in.v = hy_node_repeat(g, in.v, values, row->rule == HY_RULE_DELTA ? 1 : repeat);
    in.g = decay(g, row, config, m, layer, x);
    in.beta = HY_NONE;
    if (row->rule == HY_RULE_DELTA && m->beta) {
        in.beta = hy_node_unary(g, hy_node_linear(g, x, "b_proj", m->value_heads, false), HY_ACT_SIGMOID, m->negative_eigenvalues ? 2 : 1, -INFINITY);
    }
    hy_var o;
    if (table_row->leveled) {
        hy_var l = hy_node_level_scales(g, hy_node_linear(g, x, "l_proj", m->value_heads * m->levels, false), m->value_heads, m->levels);
        o = hy_node_level_recur(g, &in, l, row->decay, row->rule, m->heads, m->value_heads, 1 / sqrt((double)K));
    } else {
        o = hy_node_recur(g, &in, row->decay, row->rule, m->heads, m->value_heads, 1 / sqrt((double)K));
    }
    if (m->output_gate == HY_GATE_NONE) {
        o = hy_node_rmsnorm(g, o, row->norm, V, 1, m->norm_eps);
    } else {
        hy_var gate = hy_node_linear(g, x, "g_proj", m->value_heads * V, false);
        o = hy_node_glu(g, hy_node_rmsnorm(g, o, row->gated_norm, V, 1, m->norm_eps), gate, m->output_gate == HY_GATE_SIGMOID ? HY_ACT_SIGMOID : HY_ACT_SILU);
    }
    return hy_node_linear(g, o, "o_proj", config->width, false);
}
