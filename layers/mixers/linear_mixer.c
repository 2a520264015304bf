/* The generic linear layer: reads a row of the table (linear_row.h) and adds nodes. No mixer has code of its own here. */
#include <math.h>

#include "layers/mixers/feature_maps.h"
#include "layers/mixers/linear_row.h"

static hy_status resolve_heads(const hy_mixer_request *r) {
    const hy_linear_row *row = r->row->linear;
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    int64_t per_head = row->head_dim ? row->head_dim : 128;
    int64_t heads = row->heads ? row->heads : config->width / per_head;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, heads > 0 ? heads : 1, 1));
    HY_TRY(hy_mixer_default(r, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(r, "value_heads", &m->value_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(
        r, "head_dim", &m->head_dim,
        row->head_dim ? row->head_dim : (int64_t)((double)config->width * row->key_ratio) / m->heads, 1));
    HY_TRY(hy_mixer_default(
        r, "value_dim", &m->value_dim,
        row->value_ratio > 0 ? (int64_t)((double)config->width * row->value_ratio) / m->heads : m->head_dim, 1));
    if (m->heads % m->kv_heads != 0) {
        return hy_mixer_fail(r, "kv_heads", "does not divide %s", hy_mixer_value(r, "heads").s);
    }
    if (m->value_heads % m->heads != 0) {
        return hy_mixer_fail(r, "value_heads", "is no multiple of %s", hy_mixer_value(r, "heads").s);
    }
    return HY_OK;
}

/* Fields whose "default" is the row's. */
static void resolve_choices(const hy_linear_row *row, hy_mixer_config *m) {
    m->rope_base = m->rope_base == HY_DEFAULT ? row->rope_base : m->rope_base;
    m->qk_norm = m->qk_norm == HY_QK_NORM_DEFAULT ? row->qk_norm : m->qk_norm;
    m->output_gate = m->output_gate == HY_GATE_DEFAULT ? row->gate : m->output_gate;
    m->feature_map = m->feature_map == HY_FEATURE_DEFAULT ? row->feature_map : m->feature_map;
    m->conv_bias = m->conv_bias == HY_SWITCH_DEFAULT ? HY_SWITCH_OFF : m->conv_bias;
    m->normaliser = m->normaliser == HY_SWITCH_DEFAULT ? row->normaliser ? HY_SWITCH_ON : HY_SWITCH_OFF : m->normaliser;
    m->output_norm = m->output_norm == HY_SWITCH_DEFAULT ? row->scope == HY_SCOPE_NOTHING ? HY_SWITCH_OFF : HY_SWITCH_ON
                                                         : m->output_norm;
    m->gate_first = m->gate_first == HY_SWITCH_DEFAULT ? HY_SWITCH_OFF : m->gate_first;
}

static hy_status check_choices(const hy_mixer_request *r) {
    const hy_mixer_config *m = r->mixer;
    if (m->output_gate == HY_GATE_HEAD || m->output_gate == HY_GATE_CHANNEL) {
        return hy_mixer_fail(r, "output_gate", "is for softmax attention; nearest: sigmoid");
    }
    if (m->qk_norm == HY_QK_NORM_RMS_HEAD || m->qk_norm == HY_QK_NORM_RMS_ALL) {
        return hy_mixer_fail(r, "qk_norm", "is for softmax attention; nearest: l2");
    }
    if (m->rope_base > 0 && m->head_dim % 2 != 0) {
        return hy_mixer_fail(r, "head_dim", "is odd, which a rotary embedding with %s cannot turn",
                             hy_mixer_value(r, "rope_base").s);
    }
    return HY_OK;
}

hy_status hy_linear_resolve(const hy_mixer_request *r) {
    const hy_linear_row *row = r->row->linear;
    hy_mixer_config *m = r->mixer;
    HY_TRY(resolve_heads(r));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, row->conv, 0));
    HY_TRY(hy_mixer_default(r, "gate_rank", &m->gate_rank, row->gate_rank > 0 ? row->gate_rank : m->value_dim, 1));
    resolve_choices(row, m);
    m->window = 0;
    return check_choices(r);
}

static hy_var activate(hy_graph *g, hy_var x, hy_act act) {
    return act == HY_ACT_IDENTITY ? x : hy_node_unary(g, x, act, 1, -INFINITY);
}

/* Projection, convolution if there is one, activation. In rows that are `activated`, `feature` is that activation, with or without
 * convolution; in the others the convolution brings its own SiLU and the feature map comes after. */
static hy_var project_linear(hy_graph *g, const hy_linear_row *row, const hy_mixer_config *m, hy_var x,
                             const char *const names[2], int64_t cols, hy_act feature) {
    hy_var y = hy_node_linear(g, x, names[0], cols, false);
    if (m->conv > 0) {
        hy_act fused = row->activated && feature != HY_ACT_SILU ? HY_ACT_IDENTITY : HY_ACT_SILU;
        y = hy_node_conv(g, y, names[1], m->conv, m->conv_bias == HY_SWITCH_ON, fused);
        feature = row->activated && fused == HY_ACT_SILU ? HY_ACT_IDENTITY : feature;
    }
    return activate(g, y, feature);
}

/* What q and k share before the recurrence. */
typedef struct key_side {
    const hy_mixer_config *m;
    hy_weight gamma, beta; /* of qk_norm: layer */
} key_side;

static key_side make_key_side(hy_graph *g, const hy_mixer_config *m) {
    key_side side = {m, {HY_NONE, 0}, {HY_NONE, 0}};
    if (m->qk_norm == HY_QK_NORM_LAYER) {
        side.gamma = hy_graph_param(g, "feature_map.gamma", 1, &m->head_dim, HY_INIT_ONE, false);
        side.beta = hy_graph_param(g, "feature_map.beta", 1, &m->head_dim, HY_INIT_ZERO, false);
    }
    return side;
}

static hy_var normalise(hy_graph *g, const key_side *side, hy_var x) {
    int64_t K = side->m->head_dim;
    switch (side->m->qk_norm) {
    case HY_QK_NORM_L2:
        return hy_node_l2norm(g, x, K, 1e-6);
    case HY_QK_NORM_SUM:
        return hy_node_sumnorm(g, x, K, 0);
    case HY_QK_NORM_LAYER:
        return hy_node_layernorm_weight(g, x, side->gamma, side->beta, K, 1, 1e-5);
    default:
        return x;
    }
}

/* Norm and rotation of q or k. */
static hy_var prepare_keys(hy_graph *g, const key_side *side, hy_var x, int64_t heads) {
    const hy_mixer_config *m = side->m;
    x = normalise(g, side, x);
    return m->rope_base > 0 ? hy_node_rope(g, x, heads, m->head_dim, 0, m->head_dim, m->rope_base) : x;
}

/* The feature map and its norm. */
static hy_var map_features(hy_graph *g, const hy_mixer_config *m, hy_var x, int64_t heads,
                           const hy_feature_weights *weights, hy_feature_norm mine) {
    x = hy_feature_build(g, m->feature_map, x, heads, weights);
    return m->feature_norm == mine || m->feature_norm == HY_FEATURE_NORM_BOTH
               ? hy_node_sumnorm(g, x, hy_var_cols(g, x) / heads, 1e-4)
               : x;
}

static hy_var low_rank(hy_graph *g, hy_var x, const char *const names[2], int64_t rank, int64_t out, bool bias) {
    return hy_node_linear(g, hy_node_linear(g, x, names[0], rank, false), names[1], out, bias);
}

static hy_var decay(hy_graph *g, const hy_linear_row *row, const hy_model_config *config, const hy_mixer_config *m,
                    int64_t layer, hy_var x) {
    switch (row->source) {
    case HY_DECAY_FROM_HEAD:
        return hy_node_head_decay(g, row->log_decay, m->value_heads, layer, config->layers);
    case HY_DECAY_FROM_LOW_RANK: {
        hy_var full =
            low_rank(g, x, (const char *[]){"gk_proj.0", "gk_proj.1"}, m->gate_rank, m->kv_heads * m->head_dim, true);
        hy_var gate = hy_node_unary(g, full, HY_ACT_LOGSIGMOID, 1 / m->gate_divisor, m->gate_floor);
        return hy_node_repeat(g, gate, m->kv_heads, m->heads / m->kv_heads);
    }
    case HY_DECAY_FROM_STEP:
        return hy_node_decay_gate(g, hy_node_linear(g, x, "a_proj", m->value_heads, false), m->value_heads, 1, 0, 0);
    case HY_DECAY_FROM_LOW_RANK_STEP: {
        hy_var full =
            low_rank(g, x, (const char *[]){"f_proj.0", "f_proj.1"}, m->gate_rank, m->value_heads * m->head_dim, false);
        return hy_node_decay_gate(g, full, m->value_heads, m->head_dim, m->lower_bound, 1);
    }
    default:
        return HY_NONE;
    }
}

/* That of the head that forgets slowest; 0 where the decay is learned: no gate's form keeps it from 1. */
static double largest_log_decay(const hy_linear_row *row, const hy_mixer_config *m, int64_t layer, int64_t layers) {
    double largest = row->source == HY_DECAY_FROM_HEAD ? -INFINITY : 0;
    for (int64_t h = 0; h < m->value_heads && row->source == HY_DECAY_FROM_HEAD; h++) {
        const double log_decay = row->log_decay(h, m->value_heads, layer, layers);
        largest = log_decay > largest ? log_decay : largest;
    }
    return largest;
}

/* Norm and gate of the output, in either order. */
static hy_var finish_linear_mixer(hy_graph *g, const hy_linear_row *row, const hy_mixer_config *m, hy_var x, hy_var o) {
    int64_t all = m->value_heads * m->value_dim, cols = row->scope == HY_SCOPE_ALL ? all : m->value_dim;
    bool gated = m->output_gate != HY_GATE_NONE, first = gated && m->gate_first == HY_SWITCH_ON;
    hy_act act = m->output_gate == HY_GATE_SIGMOID ? HY_ACT_SIGMOID : HY_ACT_SILU;
    hy_var gate = HY_NONE;
    if (gated) {
        gate = row->low_rank_gate ? low_rank(g, x, (const char *[]){"g_proj.0", "g_proj.1"}, m->value_dim, all, true)
                                  : hy_node_linear(g, x, "g_proj", all, false);
    }
    const bool normed = m->output_norm == HY_SWITCH_ON;
    const char *name = gated ? row->gated_norm : row->norm;
    if (gated && normed && !first) {
        return hy_node_gated_rmsnorm(g, o, gate, act, name, cols, 1, m->norm_eps);
    }
    o = gated ? hy_node_glu(g, o, gate, act) : o;
    return normed ? hy_node_rmsnorm(g, o, name, cols, 1, m->norm_eps) : o;
}

/* q and k as they were before the feature map. */
typedef struct plain_keys {
    hy_var q, k;
} plain_keys;

static bool own_apart(const hy_linear_row *row, const hy_mixer_config *m) {
    return row->own_apart && m->normaliser == HY_SWITCH_ON && m->feature_map == HY_FEATURE_SQUARE &&
           m->feature_norm == HY_FEATURE_NORM_NONE;
}

/* The recurrence of the row's kind, and the normaliser. */
static hy_var mix_recurrently(hy_graph *g, const hy_mixer_row *table_row, const hy_mixer_config *m, hy_recur_vars in,
                              const plain_keys *plain, hy_var x) {
    const hy_linear_row *row = table_row->linear;
    double scale = row->unit_scale ? 1 : 1 / sqrt((double)(hy_var_cols(g, in.q) / m->heads));
    bool normalised = m->normaliser == HY_SWITCH_ON;
    hy_var v = in.v, o;
    in.v = normalised ? hy_node_append_one(g, v, m->value_heads) : v;
    if (table_row->leveled) {
        hy_var l = hy_node_level_scales(g, hy_node_linear(g, x, "l_proj", m->value_heads * m->levels, false),
                                        m->value_heads, m->levels);
        o = hy_node_level_recur(g, &in, l, row->decay, row->rule, m->heads, m->value_heads, scale);
    } else if (own_apart(row, m)) {
        o = hy_node_recur_exclusive(g, &in, row->decay, m->heads, m->value_heads, scale);
        o = hy_node_own(g, o, plain->q, plain->k, hy_node_append_one(g, v, m->value_heads), m->heads);
    } else {
        o = hy_node_recur(g, &in, row->decay, row->rule, m->heads, m->value_heads, scale);
    }
    return normalised ? hy_node_ratio(g, o, m->value_heads, row->normaliser_eps) : o;
}

hy_var hy_linear_build(const hy_mixer_row *table_row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *m, int64_t layer, hy_var x) {
    const hy_linear_row *row = table_row->linear;
    int64_t K = m->head_dim, values = row->rule == HY_RULE_DELTA ? m->value_heads : m->kv_heads,
            repeat = m->heads / m->kv_heads;
    hy_act feature = hy_feature_act(m->feature_map);
    hy_recur_vars in = {.beta = HY_NONE, .a = HY_NONE, .b = HY_NONE};
    in.q = project_linear(g, row, m, x, (const char *[]){"q_proj", "q_conv1d"}, m->heads * K, feature);
    in.k = project_linear(g, row, m, x, (const char *[]){"k_proj", "k_conv1d"}, m->kv_heads * K, feature);
    in.v = project_linear(g, row, m, x, (const char *[]){"v_proj", "v_conv1d"}, values * m->value_dim,
                          row->activated ? HY_ACT_SILU : HY_ACT_IDENTITY);
    key_side side = make_key_side(g, m);
    plain_keys plain = {.q = prepare_keys(g, &side, in.q, m->heads), .k = prepare_keys(g, &side, in.k, m->kv_heads)};
    hy_feature_weights map = hy_feature_params(g, m->feature_map, K, "feature_map_q");
    in.q = map_features(g, m, plain.q, m->heads, &map, HY_FEATURE_NORM_Q);
    map = m->tie_feature_maps ? map : hy_feature_params(g, m->feature_map, K, "feature_map_k");
    in.k = hy_node_repeat(g, map_features(g, m, plain.k, m->kv_heads, &map, HY_FEATURE_NORM_K), m->kv_heads, repeat);
    plain.k = own_apart(row, m) ? hy_node_repeat(g, plain.k, m->kv_heads, repeat) : plain.k;
    in.v = hy_node_repeat(g, in.v, values, row->rule == HY_RULE_DELTA ? 1 : repeat);
    in.g = decay(g, row, config, m, layer, x);
    in.log_decay_max = largest_log_decay(row, m, layer, config->layers);
    if (row->rule == HY_RULE_DELTA && m->beta) {
        in.beta = hy_node_unary(g, hy_node_linear(g, x, "b_proj", m->value_heads, false), HY_ACT_SIGMOID,
                                m->negative_eigenvalues ? 2 : 1, -INFINITY);
    }
    return hy_node_linear(g, finish_linear_mixer(g, row, m, x, mix_recurrently(g, table_row, m, in, &plain, x)),
                          "o_proj", config->width, false);
}
