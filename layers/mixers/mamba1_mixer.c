/* Mamba (Gu, Dao 2023), as in Samba (Ren et al. 2024): every channel has a state of its own and a decay per element of it.
 *
 *   [x | z] = in_proj u;   x = silu(conv x);   [τ | B | C] = x_proj x;   Δ = softplus(dt_proj τ + bias)
 *   h = exp(−exp(A_log) ⊙ Δ) ⊙ h + Δx Bᵀ;   y = h C + D ⊙ x;   out_proj(y ⊙ silu(z)),   h and A_log [channels,N]
 *
 * In the terms of the family: one key head k = B, q = C of head_dim = N shared by value_heads = channels, value_dim = 1, v = Δx, a vector
 * decay. Its log decays are an array [T,channels,N]. */
#include <math.h>

#include "layers/mixers/mamba2.h"

const hy_mixer_key hy_mamba1_keys[] = {
    {.name = "value_heads", .preset = "2*width", .help = "channels, each with a state of its own"},
    {.name = "head_dim", .preset = "16", .help = "elements of a channel's state"},
    {.name = "gate_rank", .preset = "(width+15)/16", .help = "rank of the step's projection"},
    {.name = "conv", .preset = "4", .help = "width of the short convolution, at least 1"},
    {.name = "conv_bias", .preset = "true"},
    {.name = "proj_bias", .help = "biases in in_proj and out_proj"},
    {.name = NULL}};

hy_status hy_mamba1_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, 1, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, 16, 1));
    HY_TRY(hy_mixer_default(r, "value_heads", &m->value_heads, 2 * config->width, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, 1, 1));
    HY_TRY(hy_mixer_default(r, "gate_rank", &m->gate_rank, (config->width + 15) / 16, 1));
    return hy_mamba_resolve_choices(r, false, HY_SKIP_CHANNEL);
}

/* Δ = softplus(dt_proj τ + bias), which starts between 1e-3 and 1e-1. */
static hy_var mamba1_step(hy_graph *g, const hy_mixer_config *m, hy_var low) {
    hy_weight w =
        hy_graph_param(g, "dt_proj.weight", 2, (int64_t[]){m->value_heads, m->gate_rank}, HY_INIT_UNIFORM, true);
    hy_weight bias = hy_graph_param(g, "dt_proj.bias", 1, &m->value_heads, HY_INIT_DT_BIAS, false);
    if (w.param != HY_NONE) {
        g->params[w.param].init_a = 1 / sqrt((double)m->gate_rank);
    }
    return hy_node_unary(g, hy_node_linear_weight(g, low, w, bias, m->value_heads), HY_ACT_SOFTPLUS, 1, -INFINITY);
}

hy_var hy_mamba1_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                       int64_t layer, hy_var u) {
    (void)row;
    (void)layer;
    int64_t channels = m->value_heads, N = m->head_dim, rank = m->gate_rank, width = config->width,
            joined = 2 * channels;
    const hy_weight none = {HY_NONE, 0};
    hy_weight in_proj = hy_graph_param(g, "in_proj.weight", 2, (int64_t[]){joined, width}, HY_INIT_NORMAL, true),
              in_bias = none;
    if (m->proj_bias) {
        in_bias = hy_graph_param(g, "in_proj.bias", 1, &joined, HY_INIT_ZERO, false);
    }
    hy_var x = hy_node_linear_weight(g, u, in_proj, in_bias, channels);
    x = hy_node_conv(g, x, "conv1d", m->conv, m->conv_bias == HY_SWITCH_ON, HY_ACT_SILU);
    hy_weight x_proj = hy_graph_param(g, "x_proj.weight", 2, (int64_t[]){rank + 2 * N, channels}, HY_INIT_NORMAL, true);
    hy_var step = mamba1_step(g, m, hy_node_linear_weight(g, x, x_proj, none, rank));
    hy_recur_vars in = {.beta = HY_NONE, .a = HY_NONE, .b = HY_NONE};
    in.k = hy_node_linear_weight(g, x, hy_weight_at(x_proj, rank * channels), none, N);
    in.q = hy_node_linear_weight(g, x, hy_weight_at(x_proj, (rank + N) * channels), none, N);
    in.v = hy_node_glu(g, x, step, HY_ACT_IDENTITY);
    in.g = hy_node_scale(g, step, hy_graph_param(g, "A_log", 2, (int64_t[]){channels, N}, HY_INIT_LOG_COUNT, false),
                         HY_ACT_NEG_EXP, N, 1);
    hy_var y = hy_node_recur(g, &in, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, 1, channels, 1);
    /* made here, forward and backward the recurrence's exchange hides behind it */
    hy_var z = hy_node_linear_weight(g, u, hy_weight_at(in_proj, channels * width),
                                     m->proj_bias ? hy_weight_at(in_bias, channels) : none, channels);
    y = hy_node_skip(g, y, x, hy_graph_param(g, "D", 1, &channels, HY_INIT_ONE, false), 1);
    return hy_node_linear(g, hy_node_glu(g, y, z, HY_ACT_SILU), "out_proj", width, m->proj_bias);
}
