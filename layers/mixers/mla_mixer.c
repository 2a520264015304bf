/* Multi-head latent attention (DeepSeek-V2 2024):
 *
 *   q = q_proj x, per head [nope | rope]; with q_rank: q_proj.2 RMSNorm(q_proj.0 x)
 *   latent = RMSNorm(kv_proj.0 x);  shared = k_rope x;  both rope parts turn, unless rope_base is 0
 *   key_h = [W_h latent | shared],  value_h = W'_h latent,  W, W' the rows of kv_proj.2;  scale (nope + rope)^(−1/2)
 *
 * Keys and values exist only inside the attention node, which exchanges latent and shared. */
#include <math.h>

#include "layers/mixers/mixer.h"

const hy_mixer_key hy_mla_keys[] = {
    {.name = "heads", .preset = "width/128", .help = "heads, each with keys and values of its own"},
    {.name = "head_dim", .preset = "192", .help = "channels of a query or key, those of rope_dim included"},
    {.name = "value_dim", .preset = "128"},
    {.name = "rope_dim",
     .preset = "64",
     .help = "last channels of a head, whose keys all heads share; the rotary ones"},
    {.name = "kv_rank", .preset = "512", .help = "channels of the latent that keys and values are made of"},
    {.name = "q_rank", .preset = "0", .help = "rank of the projection to queries; 0 = full"},
    {.name = "window", .preset = "0"},
    {.name = "sinks", .preset = "0"},
    {.name = "rope_base", .preset = "10000"},
    {.name = "qk_norm_eps", .help = "epsilon of the RMSNorms inside its projections"},
    {.name = NULL}};

hy_status hy_mla_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, config->width >= 128 ? config->width / 128 : 1, 1));
    HY_TRY(hy_mixer_default(r, "kv_heads", &m->kv_heads, m->heads, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, 192, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, 128, 1));
    HY_TRY(hy_mixer_default(r, "rope_dim", &m->rope_dim, 64, 1));
    HY_TRY(hy_mixer_default(r, "kv_rank", &m->kv_rank, 512, 1));
    HY_TRY(hy_mixer_default(r, "q_rank", &m->q_rank, 0, 0));
    HY_TRY(hy_mixer_default(r, "window", &m->window, 0, 0));
    HY_TRY(hy_mixer_default(r, "sinks", &m->sinks, 0, 0));
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 0, 0));
    m->rope_base = m->rope_base == HY_DEFAULT ? 10000 : m->rope_base;
    if (m->rope_dim >= m->head_dim) {
        return hy_mixer_fail(r, "rope_dim", "must be less than %s", hy_mixer_value(r, "head_dim").s);
    }
    if (m->rope_base > 0 && m->rope_dim % 2 != 0) {
        return hy_mixer_fail(r, "rope_dim", "is odd, which a rotary embedding cannot turn");
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
