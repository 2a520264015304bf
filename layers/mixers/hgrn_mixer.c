/* HGRN (Qin et al. 2023) and HGRN2 (Qin et al. 2024): the decay is the gate, and what it lets go is what comes in.
 *
 *   e^g = bound + (1 − bound)·σ(f_proj x), k = 1 − e^g;  the bound is learned, 0 in layer 0, and grows with depth
 *   hgrn:  h = e^g ⊙ h + k ⊙ silu(i_proj x);          y = o_proj( RMSNorm(h) ⊙ silu(g_proj x) )
 *   hgrn2: recurrence(silu(q_proj x), k, i_proj x, g); y = o_proj( RMSNorm(o) )
 *
 * hgrn is the recurrence with one 1×1 state per channel. Both norms go over all channels, not per head. */
#include <math.h>

#include "layers/mixers/mixer.h"

static hy_status check_bounds(const hy_mixer_request *r, int64_t channels, const char *key) {
    if (r->mixer->lower_bounds && channels != r->config->width) {
        return hy_mixer_fail(r, key,
                             "makes %lld decays, but lower bounds are for model.width = %lld; nearest: lower_bounds: "
                             "false",
                             (long long)channels, (long long)r->config->width);
    }
    return HY_OK;
}

const hy_mixer_key hy_hgrn_keys[] = {
    {.name = "value_dim", .preset = "width", .help = "channels of the recurrence"},
    {.name = "conv", .preset = "0", .help = "width of the short convolutions; 0 = none"},
    {.name = "lower_bounds", .help = "learned lower bounds of the decays"},
    {.name = "norm_eps", .preset = "model.norm_eps"},
    {.name = NULL}};
const hy_mixer_key hy_hgrn2_keys[] = {
    {.name = "heads", .preset = "width/128", .help = "heads; width/head_dim where that is given"},
    {.name = "head_dim", .preset = "128", .help = "channels of a query or key head; width/heads where heads is given"},
    {.name = "conv", .preset = "0", .help = "width of the short convolutions; 0 = none"},
    {.name = "lower_bounds", .help = "learned lower bounds of the decays"},
    {.name = "norm_eps", .preset = "1e-5"},
    {.name = NULL}};

hy_status hy_hgrn_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, 1, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, 1, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, config->width, 1));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 0, 0));
    return check_bounds(r, m->value_dim, "value_dim");
}

hy_status hy_hgrn2_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    int64_t wanted = m->head_dim != HY_DEFAULT ? m->head_dim : m->heads != HY_DEFAULT ? config->width / m->heads : 128;
    int64_t heads = wanted > 0 ? config->width / wanted : 1;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, heads > 0 ? heads : 1, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, wanted < config->width ? wanted : config->width, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, config->width / m->heads, 1));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 0, 0));
    if (m->heads * m->value_dim != config->width) {
        return hy_mixer_fail(r, "heads", "does not divide model.width = %lld", (long long)config->width);
    }
    m->norm_eps = m->norm_eps == HY_DEFAULT ? 1e-5 : m->norm_eps;
    return check_bounds(r, m->heads * m->head_dim, "head_dim");
}

static hy_var project_hgrn(hy_graph *g, const hy_mixer_config *m, hy_var x, const char *const names[2], int64_t cols) {
    hy_var y = hy_node_linear(g, x, names[0], cols, false);
    return m->conv > 0 ? hy_node_conv(g, y, names[1], m->conv, false, HY_ACT_IDENTITY) : y;
}

/* The log decay of `cols` channels; *k = 1 − decay. */
static hy_var bounded_decay(hy_graph *g, const hy_model_config *config, const hy_mixer_config *m, int64_t layer,
                            hy_var x, int64_t cols, hy_var *k) {
    hy_var bound = HY_NONE;
    if (m->lower_bounds) {
        hy_weight bounds = hy_graph_shared_param(g, "model.lower_bounds", 2, (int64_t[]){config->layers, config->width},
                                                 HY_INIT_ZERO, false);
        bound = layer > 0 ? hy_node_lower_bound(g, bounds, cols, layer, config->layers) : HY_NONE;
    }
    return hy_node_bounded_gate(g, project_hgrn(g, m, x, (const char *[]){"f_proj", "f_conv1d"}, cols), bound, k);
}

hy_var hy_hgrn_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                     int64_t layer, hy_var x) {
    (void)row;
    int64_t channels = m->value_dim;
    hy_var k, input = project_hgrn(g, m, x, (const char *[]){"i_proj", "i_conv1d"}, channels);
    hy_recur_vars in = {.q = HY_NONE, .k = HY_NONE, .beta = HY_NONE};
    in.g = bounded_decay(g, config, m, layer, x, channels, &k);
    in.v = hy_node_glu(g, k, input, HY_ACT_SILU);
    hy_var h = hy_node_recur(g, &in, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, 1, channels, 1);
    hy_var gate = hy_node_linear(g, x, "g_proj", channels, false);
    h = hy_node_gated_rmsnorm(g, h, gate, HY_ACT_SILU, "g_norm", channels, 1, m->norm_eps);
    return hy_node_linear(g, h, "o_proj", config->width, false);
}

hy_var hy_hgrn2_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                      int64_t layer, hy_var x) {
    (void)row;
    int64_t keys = m->heads * m->head_dim, values = m->heads * m->value_dim;
    hy_recur_vars in = {.beta = HY_NONE};
    in.q = hy_node_unary(g, project_hgrn(g, m, x, (const char *[]){"q_proj", "q_conv1d"}, keys), HY_ACT_SILU, 1,
                         -INFINITY);
    in.v = project_hgrn(g, m, x, (const char *[]){"i_proj", "i_conv1d"}, values);
    in.g = bounded_decay(g, config, m, layer, x, keys, &in.k);
    hy_var o =
        hy_node_recur(g, &in, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, m->heads, m->heads, 1 / sqrt((double)m->head_dim));
    return hy_node_linear(g, hy_node_rmsnorm(g, o, "g_norm", values, 1, m->norm_eps), "o_proj", config->width, false);
}
