/* Softmax attention: grouped heads, rotary embedding of all or the first channels of a head or none, window, sinks.
 *
 *   o = softmax(q kᵀ·D^(−1/2)) v;   y = o_proj( o ⊙ sigmoid(g_proj x) )     gate: one per head, one per channel, or none
 *
 * q, k and v may pass a short convolution (linear, no bias) after their projections; q and k then an RMSNorm before they are turned:
 * per head (weight [D]), or over the whole projection (weight [heads·D]). */
#include <math.h>

#include "layers/mixers/mixer.h"

static int64_t rotated_channels(const hy_mixer_config *m) {
    return m->rope_base > 0 ? (int64_t)((double)m->head_dim * m->rope_fraction) : 0;
}

const hy_mixer_key hy_attention_keys[] = {
    {.name = "heads", .preset = "width/64", .help = "query heads"},
    {.name = "kv_heads", .preset = "heads", .help = "key and value heads, each serving heads/kv_heads query heads"},
    {.name = "head_dim", .preset = "width/heads", .help = "channels of a head"},
    {.name = "window", .preset = "0"},
    {.name = "sinks", .preset = "0"},
    {.name = "conv", .preset = "0"},
    {.name = "rope_base", .preset = "10000"},
    {.name = "rope_fraction"},
    {.name = "qkv_bias"},
    {.name = "qk_norm", .preset = "none", .help = "RMSNorm of q and k: rms_head, or rms_all over the projection"},
    {.name = "qk_norm_eps"},
    {.name = "output_gate", .preset = "none", .help = "sigmoid gate on the output, one per head or one per channel"},
    {.name = NULL}};

hy_status hy_attention_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, config->width >= 64 ? config->width / 64 : 1, 1));
    HY_TRY(hy_mixer_default(r, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, config->width / m->heads, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, m->head_dim, 1));
    HY_TRY(hy_mixer_default(r, "window", &m->window, 0, 0));
    HY_TRY(hy_mixer_default(r, "sinks", &m->sinks, 0, 0));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 0, 0));
    m->rope_base = m->rope_base == HY_DEFAULT ? 10000 : m->rope_base;
    m->qk_norm = m->qk_norm == HY_QK_NORM_DEFAULT ? HY_QK_NORM_NONE : m->qk_norm;
    m->output_gate = m->output_gate == HY_GATE_DEFAULT ? HY_GATE_NONE : m->output_gate;
    if (m->heads % m->kv_heads != 0) {
        return hy_mixer_fail(r, "kv_heads", "does not divide %s", hy_mixer_value(r, "heads").s);
    }
    if (rotated_channels(m) % 2 != 0) {
        return hy_mixer_fail(r, "head_dim",
                             "leaves %lld channels to a rotary embedding with %s; it needs an even number",
                             (long long)rotated_channels(m), hy_mixer_value(r, "rope_fraction").s);
    }
    if (m->qk_norm != HY_QK_NORM_NONE && m->qk_norm != HY_QK_NORM_RMS_HEAD && m->qk_norm != HY_QK_NORM_RMS_ALL) {
        return hy_mixer_fail(r, "qk_norm", "is not for attention, which has none, rms_head or rms_all");
    }
    if (m->output_gate != HY_GATE_NONE && m->output_gate != HY_GATE_HEAD && m->output_gate != HY_GATE_CHANNEL) {
        return hy_mixer_fail(r, "output_gate",
                             "is not for attention, which has none, head or channel (each a sigmoid)");
    }
    return HY_OK;
}

/* Projection and convolution. */
static hy_var project_heads(hy_graph *g, const hy_mixer_config *m, hy_var x, const char *const names[2],
                            int64_t heads) {
    hy_var y = hy_node_linear(g, x, names[0], heads * m->head_dim, m->qkv_bias);
    return m->conv > 0 ? hy_node_conv(g, y, names[1], m->conv, false, HY_ACT_IDENTITY) : y;
}

static hy_var head_input(hy_graph *g, const hy_model_config *config, const hy_mixer_config *m, hy_var x,
                         const char *const names[3], int64_t heads) {
    hy_var y = project_heads(g, m, x, names, heads);
    if (m->qk_norm != HY_QK_NORM_NONE) {
        int64_t cols = m->qk_norm == HY_QK_NORM_RMS_HEAD ? m->head_dim : heads * m->head_dim;
        y = (config->zero_centred ? hy_node_rmsnorm_zero_centred : hy_node_rmsnorm)(g, y, names[2], cols, 1,
                                                                                    m->qk_norm_eps);
    }
    return rotated_channels(m) > 0 ? hy_node_rope(g, y, heads, m->head_dim, 0, rotated_channels(m), m->rope_base) : y;
}

/* o times the sigmoid of a projection of x. */
static hy_var gated(hy_graph *g, const hy_mixer_config *m, hy_var x, hy_var o) {
    if (m->output_gate == HY_GATE_NONE) {
        return o;
    }
    int64_t gates = m->output_gate == HY_GATE_HEAD ? m->heads : m->heads * m->head_dim;
    return hy_node_glu(g, o, hy_node_linear(g, x, "g_proj", gates, false), HY_ACT_SIGMOID);
}

hy_var hy_attention_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                          int64_t layer, hy_var x) {
    (void)row;
    (void)layer;
    hy_var q = head_input(g, config, m, x, (const char *[]){"q_proj", "q_conv1d", "q_norm"}, m->heads);
    hy_var k = head_input(g, config, m, x, (const char *[]){"k_proj", "k_conv1d", "k_norm"}, m->kv_heads);
    hy_var v = project_heads(g, m, x, (const char *[]){"v_proj", "v_conv1d"}, m->kv_heads);
    hy_var o = hy_node_attention(g, q, k, v,
                                 &(hy_attn_shape){.heads = m->heads,
                                                  .kv_heads = m->kv_heads,
                                                  .head_dim = m->head_dim,
                                                  .value_dim = m->head_dim,
                                                  .window = m->window,
                                                  .sinks = m->sinks,
                                                  .scale = 1 / sqrt((double)m->head_dim)});
    return hy_node_linear(g, gated(g, m, x, o), "o_proj", config->width, false);
}
