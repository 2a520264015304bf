/* Mamba-2 (Dao, Gu 2024), with a joined input projection:
 *
 *   [z | x | B | C | dt] = in_proj u;   [x | B | C] = silu(conv [x | B | C]);   Δ = clamp(softplus(dt + dt_bias), step_low, step_high)
 *   recurrence with v = Δx, k = B, q = C, g = −exp(A_log)·Δ, scale 1;   y = o + D ⊙ x;   out_proj(RMSNorm(y ⊙ silu(z)))
 *
 * As a log-linear mixer (Guo et al. 2025): in_proj has value_heads·levels rows more, for the scales of the levels.
 *
 * In the terms of the family: heads = groups of B and C, head_dim = size N of the state, value_heads = heads of x, value_dim = their
 * channels P. The norm acts on the channels of one group at a time. */
#include <math.h>

#include "layers/mixers/mamba2.h"

hy_status hy_mamba_resolve_choices(const hy_mixer_request *r, bool normed, hy_skip skip) {
    hy_mixer_config *m = r->mixer;
    const hy_switch norm = normed ? HY_SWITCH_ON : HY_SWITCH_OFF;
    HY_TRY(hy_mixer_default(r, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 4, 1));
    HY_TRY(hy_mixer_default(r, "window", &m->window, 0, 0));
    m->rope_base = m->rope_base == HY_DEFAULT ? 0 : m->rope_base;
    m->qk_norm = m->qk_norm == HY_QK_NORM_DEFAULT ? HY_QK_NORM_NONE : m->qk_norm;
    m->output_gate = m->output_gate == HY_GATE_DEFAULT ? HY_GATE_SWISH : m->output_gate;
    m->feature_map = m->feature_map == HY_FEATURE_DEFAULT ? HY_FEATURE_SILU : m->feature_map;
    m->conv_bias = m->conv_bias == HY_SWITCH_DEFAULT ? HY_SWITCH_ON : m->conv_bias;
    m->gate_first = m->gate_first == HY_SWITCH_DEFAULT ? norm : m->gate_first;
    m->output_norm = m->output_norm == HY_SWITCH_DEFAULT ? norm : m->output_norm;
    m->normaliser = m->normaliser == HY_SWITCH_DEFAULT ? HY_SWITCH_OFF : m->normaliser;
    m->skip = m->skip == HY_SKIP_DEFAULT ? skip : m->skip;
    return HY_OK;
}

const hy_mixer_key hy_mamba2_keys[] = {
    {.name = "heads", .preset = "1", .help = "groups of B and C, each serving value_heads/heads heads"},
    {.name = "head_dim", .preset = "128", .help = "size of the state: channels of B and C"},
    {.name = "value_dim", .preset = "64", .help = "channels of a head"},
    {.name = "value_heads", .preset = "2*width/value_dim", .help = "heads, a multiple of `heads`"},
    {.name = "conv", .preset = "4", .help = "width of the short convolution, at least 1"},
    {.name = "conv_bias", .preset = "true"},
    {.name = "proj_bias", .help = "biases in in_proj and out_proj"},
    {.name = "step_low", .help = "least step"},
    {.name = "step_high", .help = "greatest step"},
    {.name = "skip", .preset = "head", .help = "the skip has a factor per head or per channel"},
    {.name = "gate_first", .preset = "true", .help = "the output gate comes before the output norm"},
    {.name = "output_norm", .preset = "true"},
    {.name = "norm_eps", .preset = "model.norm_eps"},
    {.name = NULL}};

hy_status hy_mamba2_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, 1, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, 128, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, 64, 1));
    int64_t heads = 2 * config->width / m->value_dim;
    HY_TRY(hy_mixer_default(r, "value_heads", &m->value_heads, heads > 0 ? heads : 1, 1));
    HY_TRY(hy_mixer_default(r, "gate_rank", &m->gate_rank, 1, 1));
    if (m->value_heads % m->heads != 0) {
        return hy_mixer_fail(r, "heads", "does not divide %s", hy_mixer_value(r, "value_heads").s);
    }
    if (!(m->step_low <= m->step_high)) {
        return hy_mixer_fail(r, "step_low", "is above %s", hy_mixer_value(r, "step_high").s);
    }
    return hy_mamba_resolve_choices(r, true, HY_SKIP_HEAD);
}

/* min(max(softplus(dt + dt_bias), low), high); min(a, b) = −max(−a, −b). */
static hy_var mamba2_step(hy_graph *g, const hy_mixer_config *m, hy_var dt) {
    hy_weight bias = hy_graph_param(g, "dt_bias", 1, &m->value_heads, HY_INIT_DT_BIAS, false);
    hy_var step =
        hy_node_unary(g, hy_node_bias(g, dt, bias), HY_ACT_SOFTPLUS, 1, m->step_low > 0 ? m->step_low : -INFINITY);
    if (!isfinite(m->step_high)) {
        return step;
    }
    return hy_node_unary(g, hy_node_unary(g, step, HY_ACT_IDENTITY, -1, -m->step_high), HY_ACT_IDENTITY, -1, -INFINITY);
}

static hy_weight decay_rates(hy_graph *g, int64_t heads) {
    hy_weight A_log = hy_graph_param(g, "A_log", 1, &heads, HY_INIT_LOG_UNIFORM_A, false);
    if (A_log.param != HY_NONE) {
        g->params[A_log.param].init_a = 1;
        g->params[A_log.param].init_b = 16;
    }
    return A_log;
}

/* Consecutive rows of in_proj, each range with its own product. */
typedef struct joined {
    hy_weight w, bias;
    int64_t width, row;
} joined;

static hy_var take_rows(hy_graph *g, joined *in_proj, hy_var u, int64_t rows) {
    hy_weight bias = in_proj->bias.param == HY_NONE ? in_proj->bias : hy_weight_at(in_proj->bias, in_proj->row);
    hy_var y = hy_node_linear_weight(g, u, hy_weight_at(in_proj->w, in_proj->row * in_proj->width), bias, rows);
    in_proj->row += rows;
    return y;
}

hy_mamba2_parts hy_mamba2_begin(hy_graph *g, const hy_mixer_config *m, hy_var u, int64_t more) {
    int64_t inner = m->value_heads * m->value_dim, groups = m->heads * m->head_dim,
            rows = 2 * inner + 2 * groups + m->value_heads + more;
    joined in_proj = {.width = hy_var_cols(g, u), .bias = {HY_NONE, 0}};
    hy_mamba2_parts parts = {.more = HY_NONE};
    in_proj.w = hy_graph_param(g, "in_proj.weight", 2, (int64_t[]){rows, in_proj.width}, HY_INIT_NORMAL, true);
    if (m->proj_bias) {
        in_proj.bias = hy_graph_param(g, "in_proj.bias", 1, &rows, HY_INIT_ZERO, false);
    }
    parts.u = u;
    parts.gate = in_proj.w;
    parts.gate_bias = in_proj.bias;
    in_proj.row = inner;
    hy_var joint = take_rows(g, &in_proj, u, inner + 2 * groups), xBC[3];
    hy_var step = mamba2_step(g, m, take_rows(g, &in_proj, u, m->value_heads));
    if (more > 0) {
        parts.more = take_rows(g, &in_proj, u, more);
    }
    joint = hy_node_conv(g, joint, "conv1d", m->conv, m->conv_bias == HY_SWITCH_ON, HY_ACT_SILU);
    hy_node_split(g, joint, 3, (int64_t[]){inner, groups, groups}, xBC);
    parts.x = xBC[0];
    parts.A_log = decay_rates(g, m->value_heads);
    parts.in = (hy_recur_vars){.q = xBC[2],
                               .k = xBC[1],
                               .v = hy_node_glu(g, xBC[0], step, HY_ACT_IDENTITY),
                               .g = hy_node_scale(g, step, parts.A_log, HY_ACT_NEG_EXP, 1, 1),
                               .beta = HY_NONE};
    return parts;
}

hy_var hy_mamba2_end(hy_graph *g, const hy_model_config *config, const hy_mixer_config *m, const hy_mamba2_parts *parts,
                     hy_var o) {
    int64_t inner = m->value_heads * m->value_dim, factors = m->skip == HY_SKIP_CHANNEL ? inner : m->value_heads;
    hy_weight D = hy_graph_param(g, "D", 1, &factors, HY_INIT_ONE, false);
    /* made here, forward and backward the recurrence's exchange hides behind it */
    hy_var z = hy_node_linear_weight(g, parts->u, parts->gate, parts->gate_bias, inner);
    hy_var y = hy_node_skip(g, o, parts->x, D, inner / factors);
    const bool normed = m->output_norm == HY_SWITCH_ON;
    if (normed && m->gate_first == HY_SWITCH_OFF) {
        y = hy_node_gated_rmsnorm(g, y, z, HY_ACT_SILU, "norm", inner / m->heads, m->heads, m->norm_eps);
    } else {
        y = hy_node_glu(g, y, z, HY_ACT_SILU);
        y = normed ? hy_node_rmsnorm(g, y, "norm", inner / m->heads, m->heads, m->norm_eps) : y;
    }
    hy_weight w = hy_graph_param(g, "out_proj.weight", 2, (int64_t[]){config->width, inner}, HY_INIT_UNIFORM, true),
              bias = {HY_NONE, 0};
    if (w.param != HY_NONE) {
        g->params[w.param].init_a =
            1 / sqrt((double)inner * (double)config->layers); /* the residual stream keeps its size */
    }
    if (m->proj_bias) {
        bias = hy_graph_param(g, "out_proj.bias", 1, &config->width, HY_INIT_ZERO, false);
    }
    return hy_node_linear_weight(g, y, w, bias, config->width);
}

hy_var hy_mamba2_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                       int64_t layer, hy_var u) {
    (void)layer;
    hy_mamba2_parts parts = hy_mamba2_begin(g, m, u, row->leveled ? m->value_heads * m->levels : 0);
    hy_var o;
    if (row->leveled) {
        if (parts.A_log.param != HY_NONE) {
            g->params[parts.A_log.param].init = HY_INIT_LOG_COUNT;
        }
        hy_var l = hy_node_level_scales(g, parts.more, m->value_heads, m->levels);
        o = hy_node_level_recur(g, &parts.in, l, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, m->heads, m->value_heads, 1);
    } else {
        o = hy_node_recur(g, &parts.in, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, m->heads, m->value_heads, 1);
    }
    return hy_mamba2_end(g, config, m, &parts, o);
}
