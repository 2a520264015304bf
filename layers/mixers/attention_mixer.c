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

hy_status hy_attention_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *m) {
    (void)row;
    HY_TRY(hy_mixer_default(m, "heads", &m->heads, config->width >= 64 ? config->width / 64 : 1, 1));
    HY_TRY(hy_mixer_default(m, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(m, "head_dim", &m->head_dim, config->width / m->heads, 1));
    HY_TRY(hy_mixer_default(m, "value_dim", &m->value_dim, m->head_dim, 1));
    HY_TRY(hy_mixer_default(m, "window", &m->window, 0, 0));
    HY_TRY(hy_mixer_default(m, "sinks", &m->sinks, 0, 0));
    HY_TRY(hy_mixer_default(m, "conv", &m->conv, 0, 0));
    m->rope_base = m->rope_base == HY_DEFAULT ? 10000 : m->rope_base;
    m->qk_norm = m->qk_norm == HY_QK_NORM_DEFAULT ? HY_QK_NORM_NONE : m->qk_norm;
    m->output_gate = m->output_gate == HY_GATE_DEFAULT ? HY_GATE_NONE : m->output_gate;
    if (m->heads % m->kv_heads != 0) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.kv_heads: %lld does not divide heads = %lld", m->name,
                       (long long)m->kv_heads, (long long)m->heads);
    }
    if (m->value_dim != m->head_dim) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.value_dim: attention has value_dim = head_dim (%lld)", m->name,
                       (long long)m->head_dim);
    }
    if (rotated_channels(m) % 2 != 0) {
        return hy_fail(HY_ERR_USAGE,
                       "model.mixers.%s.head_dim: a rotary embedding needs an even number of channels to turn",
                       m->name);
    }
    if (m->qk_norm != HY_QK_NORM_NONE && m->qk_norm != HY_QK_NORM_RMS_HEAD && m->qk_norm != HY_QK_NORM_RMS_ALL) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.qk_norm: attention has none, rms_head or rms_all", m->name);
    }
    if (m->output_gate != HY_GATE_NONE && m->output_gate != HY_GATE_HEAD && m->output_gate != HY_GATE_CHANNEL) {
        return hy_fail(HY_ERR_USAGE,
                       "model.mixers.%s.output_gate: attention has none, head or channel (each a sigmoid)", m->name);
    }
    return HY_OK;
}

/* Projection and convolution. */
static hy_var project(hy_graph *g, const hy_mixer_config *m, hy_var x, const char *const names[2], int64_t heads) {
    hy_var y = hy_node_linear(g, x, names[0], heads * m->head_dim, m->qkv_bias);
    return m->conv > 0 ? hy_node_conv(g, y, names[1], m->conv, false, HY_ACT_IDENTITY) : y;
}

static hy_var head_input(hy_graph *g, const hy_model_config *config, const hy_mixer_config *m, hy_var x,
                         const char *const names[3], int64_t heads) {
    hy_var y = project(g, m, x, names, heads);
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
    hy_var v = project(g, m, x, (const char *[]){"v_proj", "v_conv1d"}, m->kv_heads);
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
