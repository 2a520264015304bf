/* Multi-head latent attention (DeepSeek-V2 2024):
 *
 *   q = q_proj x, per head [nope | rope]; with q_rank: q_proj.2 RMSNorm(q_proj.0 x)
 *   latent = RMSNorm(kv_proj.0 x);  shared = k_rope x;  both rope parts turn, unless rope_base is 0
 *   key_h = [W_h latent | shared],  value_h = W'_h latent,  W, W' the rows of kv_proj.2;  scale (nope + rope)^(−1/2)
 *
 * Keys and values exist only inside the attention node, which exchanges latent and shared. */
#include <math.h>

#include "layers/mixers/mixer.h"

hy_status hy_mla_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *m) {
    (void)row;
    HY_TRY(hy_mixer_default(m, "heads", &m->heads, config->width >= 128 ? config->width / 128 : 1, 1));
    HY_TRY(hy_mixer_default(m, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(m, "head_dim", &m->head_dim, 192, 1));
    HY_TRY(hy_mixer_default(m, "value_dim", &m->value_dim, 128, 1));
    HY_TRY(hy_mixer_default(m, "rope_dim", &m->rope_dim, 64, 1));
    HY_TRY(hy_mixer_default(m, "kv_rank", &m->kv_rank, 512, 1));
    HY_TRY(hy_mixer_default(m, "q_rank", &m->q_rank, 0, 0));
    HY_TRY(hy_mixer_default(m, "window", &m->window, 0, 0));
    HY_TRY(hy_mixer_default(m, "sinks", &m->sinks, 0, 0));
    HY_TRY(hy_mixer_default(m, "conv", &m->conv, 0, 0));
    m->rope_base = m->rope_base == HY_DEFAULT ? 10000 : m->rope_base;
    if (m->kv_heads != m->heads) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.kv_heads: every head of mla has its own keys and values",
                       m->name);
    }
    if (m->rope_dim >= m->head_dim) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.rope_dim: %lld, but it must be less than head_dim = %lld",
                       m->name, (long long)m->rope_dim, (long long)m->head_dim);
    }
    if (m->rope_base > 0 && m->rope_dim % 2 != 0) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s.rope_dim: %lld is odd, which a rotary embedding cannot turn",
                       m->name, (long long)m->rope_dim);
    }
    if (m->conv > 0 || m->qkv_bias || (m->qk_norm != HY_QK_NORM_DEFAULT && m->qk_norm != HY_QK_NORM_NONE) ||
        (m->output_gate != HY_GATE_DEFAULT && m->output_gate != HY_GATE_NONE)) {
        return hy_fail(HY_ERR_USAGE, "model.mixers.%s: mla has no conv, qkv_bias, qk_norm or output_gate", m->name);
    }
    m->qk_norm = HY_QK_NORM_NONE;
    m->output_gate = HY_GATE_NONE;
    return HY_OK;
}

static hy_var turn(hy_graph *g, const hy_mixer_config *m, hy_var x, int64_t heads, int64_t channels) {
    return m->rope_base > 0 ? hy_node_rope(g, x, heads, channels, channels - m->rope_dim, m->rope_dim, m->rope_base)
                            : x;
}

static hy_var queries(hy_graph *g, const hy_mixer_config *m, hy_var x) {
    int64_t cols = m->heads * m->head_dim;
    if (m->q_rank == 0) {
        return hy_node_linear(g, x, "q_proj", cols, false);
    }
    hy_var low = hy_node_rmsnorm(g, hy_node_linear(g, x, "q_proj.0", m->q_rank, false), "q_proj.1", m->q_rank, 1,
                                 m->qk_norm_eps);
    return hy_node_linear(g, low, "q_proj.2", cols, false);
}

hy_var hy_mla_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                    int64_t layer, hy_var x) {
    (void)row;
    (void)layer;
    hy_var q = turn(g, m, queries(g, m, x), m->heads, m->head_dim);
    hy_var shared = turn(g, m, hy_node_linear(g, x, "k_rope", m->rope_dim, false), 1, m->rope_dim);
    hy_var latent = hy_node_rmsnorm(g, hy_node_linear(g, x, "kv_proj.0", m->kv_rank, false), "kv_proj.1", m->kv_rank, 1,
                                    m->qk_norm_eps);
    hy_var o = hy_node_latent_attention(g, q, latent, shared, "kv_proj.2",
                                        &(hy_attn_shape){.heads = m->heads,
                                                         .kv_heads = m->heads,
                                                         .head_dim = m->head_dim,
                                                         .value_dim = m->value_dim,
                                                         .window = m->window,
                                                         .sinks = m->sinks,
                                                         .scale = 1 / sqrt((double)m->head_dim)});
    return hy_node_linear(g, o, "o_proj", config->width, false);
}
