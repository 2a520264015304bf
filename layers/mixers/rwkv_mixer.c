/* RWKV-6 (Peng et al. 2024, Eagle and Finch) and RWKV-7 (Peng et al. 2025, Goose). Both look at the token before: x' = x_{t−1}.
 *
 *   rwkv6: x_i = x + (x' − x)⊙m_i, i = r,w,k,v,g, with m_i = P_i tanh(W_i(x + (x' − x)⊙μ)) + B_i
 *          o = (S + Diag(u) k vᵀ)ᵀ r,  S = Diag(e^w) S + k vᵀ,  w = −exp(lora(x_w));  y = W_o( GroupNorm(o) ⊙ silu(g) )
 *   rwkv7: x_i = x + (x' − x)⊙μ_i, i = r,w,k,v,a,g;  w = −e^(−1/2)·σ(lora(x_w)),  a = σ(lora(x_a)),  g = lora(x_g)
 *          κ = l2norm(k⊙k_k),  k ← k⊙(1 + (a − 1)⊙k_a),  v ← v + (v_first − v)⊙σ(lora(x_v)) but in the first such layer
 *          S = Diag(e^w) S − (κ⊙a)(Sᵀκ)ᵀ + k vᵀ,  o = Sᵀr;  y = W_o( (GroupNorm(o) + (Σ r⊙r_k⊙k) v) ⊙ g )
 *
 * The recurrence's backward overwrites the gradients of its inputs, so it is the last reader of each. */
#include <math.h>
#include <stdio.h>

#include "layers/mixers/mixer.h"
#include "layers/mixers/rwkv.h"

/* ---- rwkv6 ---- */

enum { MIXED = 5 }; /* inputs r, w, k, v, g */

const hy_mixer_key hy_rwkv6_keys[] = {
    {.name = "heads", .preset = "4"},
    {.name = "head_dim", .preset = "0.5*width/heads"},
    {.name = "value_dim", .preset = "width/heads"},
    {.name = "mix_rank", .preset = "32", .help = "rank of each mixture of a token with the one before it"},
    {.name = "gate_rank", .preset = "64", .help = "rank of the decay's projection"},
    {.name = "norm_eps", .preset = "model.norm_eps"},
    {.name = NULL}};

hy_status hy_rwkv6_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, 4, 1));
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, config->width / 2 / m->heads, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, config->width / m->heads, 1));
    HY_TRY(hy_mixer_default(r, "mix_rank", &m->mix_rank, 32, 1));
    return hy_mixer_default(r, "gate_rank", &m->gate_rank, 64, 1);
}

/* Xavier's uniform start with gain 2^−2.5. */
static double xavier(int64_t in, int64_t out) {
    return exp2(-2.5) * sqrt(6 / (double)(in + out));
}

static hy_var xavier_linear(hy_graph *g, hy_var x, const char *name, int64_t out) {
    hy_var y = hy_node_linear(g, x, name, out, false);
    hy_graph_start(g, y, HY_INIT_UNIFORM, xavier(hy_var_cols(g, x), out));
    return y;
}

/* The five inputs, each with its own mixture of the two tokens. */
static void mix_by_data(hy_graph *g, const hy_mixer_config *m, hy_var x, hy_var before, hy_var out[MIXED]) {
    int64_t width = hy_var_cols(g, x), rank = m->mix_rank;
    hy_var low[MIXED];
    hy_weight mu = hy_graph_param(g, "x_proj.0.mu", 1, &width, HY_INIT_ZERO, false);
    hy_var n = xavier_linear(g, hy_node_lerp_weight(g, x, before, mu), "x_proj.0.linear", MIXED * rank);
    hy_node_split(g, hy_node_unary(g, n, HY_ACT_TANH, 1, -INFINITY), MIXED, (int64_t[]){rank, rank, rank, rank, rank},
                  low);
    hy_weight P = hy_graph_param(g, "x_proj.2.weight", 2, (int64_t[]){width, MIXED * rank}, HY_INIT_UNIFORM, true);
    hy_weight B = hy_graph_param(g, "x_bias", 2, (int64_t[]){MIXED, width}, HY_INIT_ZERO, false);
    hy_mixture by[MIXED];
    for (int i = 0; i < MIXED; i++) {
        by[i].m = hy_node_linear_columns(g, low[i], hy_weight_at(P, i * rank), MIXED * rank, width);
        by[i].w = hy_weight_at(B, i * width);
        hy_graph_start(g, by[i].m, HY_INIT_UNIFORM, xavier(MIXED * rank, width));
    }
    hy_node_lerps(g, x, before, HY_ACT_IDENTITY, MIXED, by, out);
}

hy_var hy_rwkv6_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                      int64_t layer, hy_var x) {
    (void)row;
    (void)layer;
    int64_t keys = m->heads * m->head_dim, values = m->heads * m->value_dim;
    hy_var mixed[MIXED];
    mix_by_data(g, m, x, hy_node_shift(g, x), mixed);
    hy_recur_vars in = {.beta = HY_NONE, .a = HY_NONE, .b = HY_NONE};
    in.q = xavier_linear(g, mixed[0], "r_proj.linear", keys);
    in.g = hy_rwkv_lora(g, mixed[1], "w_proj.linear", &(hy_rwkv_lora_shape){m->gate_rank, keys, HY_ACT_TANH, true});
    in.g = hy_node_unary(g, in.g, HY_ACT_NEG_EXP, 1, -INFINITY);
    in.k = xavier_linear(g, mixed[2], "k_proj.linear", keys);
    in.v = xavier_linear(g, mixed[3], "v_proj.linear", values);
    hy_var gate = xavier_linear(g, mixed[4], "g_proj.linear", values);
    hy_weight u = hy_graph_param(g, "bonus", 2, (int64_t[]){m->heads, m->head_dim}, HY_INIT_ZERO, false);
    hy_var bonus = hy_node_bonus(g, in.q, in.k, in.v, u, m->heads);
    hy_var o = hy_node_residual(g, hy_node_recur_exclusive(g, &in, HY_DECAY_VECTOR, m->heads, m->heads, 1), bonus);
    o = hy_node_layernorm(g, o, "g_norm", m->value_dim, m->heads, m->norm_eps, true);
    return xavier_linear(g, hy_node_glu(g, o, gate, HY_ACT_SILU), "o_proj", config->width);
}

/* ---- rwkv7 ---- */

/* A rank that grows with the root of the width, a multiple of 32. */
static int64_t default_rank(int64_t width, double factor) {
    int64_t rank = 32 * (int64_t)rint(factor * sqrt((double)width) / 32);
    return rank > 32 ? rank : 32;
}

const hy_mixer_key hy_rwkv7_keys[] = {
    {.name = "heads", .preset = "width/head_dim", .help = "heads; with head_dim they make the model's width"},
    {.name = "head_dim", .preset = "64", .help = "channels of a head; width/heads where heads is given"},
    {.name = "value_dim", .preset = "width/heads"},
    {.name = "gate_rank",
     .preset = "2.5*sqrt(width)*head_dim/64",
     .help = "rank of the decay's projection; this and the next three by default as the nearest multiple of 32"},
    {.name = "rate_rank", .preset = "2.5*sqrt(width)*head_dim/64", .help = "rank of the removal's rate"},
    {.name = "value_rank",
     .preset = "1.7*sqrt(width)*head_dim/64",
     .help = "rank of the share of the first layer's values"},
    {.name = "output_rank", .preset = "5*sqrt(width)", .help = "rank of the output gate"},
    {.name = "key_norm_eps", .help = "epsilon under the root of the removed key's norm"},
    {.name = "norm_eps", .preset = "head_dim*model.norm_eps"},
    {.name = NULL}};

hy_status hy_rwkv7_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    int64_t wanted = m->heads != HY_DEFAULT && m->heads > 0 ? config->width / m->heads
                     : config->width < 64                   ? config->width
                                                            : 64;
    HY_TRY(hy_mixer_default(r, "head_dim", &m->head_dim, wanted, 1));
    HY_TRY(hy_mixer_default(r, "heads", &m->heads, config->width / m->head_dim, 1));
    HY_TRY(hy_mixer_default(r, "value_dim", &m->value_dim, config->width / m->heads, 1));
    double wide = (double)m->head_dim / 64;
    HY_TRY(hy_mixer_default(r, "gate_rank", &m->gate_rank, default_rank(config->width, 2.5 * wide), 1));
    HY_TRY(hy_mixer_default(r, "rate_rank", &m->rate_rank, default_rank(config->width, 2.5 * wide), 1));
    HY_TRY(hy_mixer_default(r, "value_rank", &m->value_rank, default_rank(config->width, 1.7 * wide), 1));
    HY_TRY(hy_mixer_default(r, "output_rank", &m->output_rank, default_rank(config->width, 5), 1));
    m->norm_eps = m->norm_eps == HY_DEFAULT ? (double)m->head_dim * config->norm_eps : m->norm_eps;
    if (m->heads * m->head_dim != config->width) {
        return hy_mixer_fail(r, "head_dim", "times %s is not model.width = %lld", hy_mixer_value(r, "heads").s,
                             (long long)config->width);
    }
    return HY_OK;
}

/* Starts by channel. y and z run from end to end of the width and of a head; the parameter's a and b are the exponent and the
 * head's channels. */
static double ramp(int64_t n, int64_t channels) {
    return channels > 1 ? (double)n / (double)(channels - 1) : 0;
}

static double zigzag(const hy_param *p, int64_t n) {
    int64_t K = (int64_t)p->init_b;
    double s = K > 1 ? 2 * ramp(n % K, K) - 1 : 0;
    return s * fabs(s);
}

static double start_decay(const hy_param *p, int64_t n) {
    return -5.5 + 6 * pow(ramp(n, p->size), p->init_a) + 2.5 * zigzag(p, n);
}

static double start_rate(const hy_param *p, int64_t n) {
    return -0.19 + 0.3 * zigzag(p, n) + 0.4 * (ramp(n, p->size) - 0.5);
}

static double rwkv_start_value(const hy_param *p, int64_t n) {
    return 0.73 - 0.4 * (ramp(n, p->size) - 0.5);
}

static double start_key(const hy_param *p, int64_t n) {
    return 0.71 - 0.1 * (ramp(n, p->size) - 0.5);
}

static hy_weight constant_param(hy_graph *g, const char *name, int n_dims, const int64_t *shape, double value) {
    hy_weight w = hy_graph_param(g, name, n_dims, shape, HY_INIT_CONSTANT, false);
    if (w.param != HY_NONE) {
        g->params[w.param].init_a = value;
    }
    return w;
}

static hy_var orthogonal_linear(hy_graph *g, hy_var x, const char *name, int64_t out, double gain) {
    hy_var y = hy_node_linear(g, x, name, out, false);
    hy_graph_start(g, y, HY_INIT_ORTHOGONAL, gain);
    return y;
}

/* The inputs, each with a mixture of the two tokens of its own, and the exponent of its start in the first layer. */
enum { MIXED_R, MIXED_W, MIXED_A, MIXED_K, MIXED_V, MIXED_G, MIXED_ALL };
static const struct {
    const char *name;
    double exponent;
} mixed_inputs[MIXED_ALL] = {{"x_r", 0.2}, {"x_w", 0.9}, {"x_a", 0.9}, {"x_k", 0.7}, {"x_v", 0.7}, {"x_g", 0.2}};

/* out[i] = x + (x' − x)⊙μ_i; `left`: the share of the layers that this one and those above it are. */
static void mix_by_channel(hy_graph *g, hy_var x, double left, hy_var out[MIXED_ALL]) {
    hy_mixture by[MIXED_ALL];
    for (int i = 0; i < MIXED_ALL; i++) {
        hy_weight mu =
            hy_graph_param(g, mixed_inputs[i].name, 3, (int64_t[]){1, 1, hy_var_cols(g, x)}, HY_INIT_FORMULA, false);
        hy_rwkv_start_mix(g, mu, mixed_inputs[i].exponent * left);
        by[i] = (hy_mixture){HY_NONE, mu};
    }
    hy_node_lerps(g, x, hy_node_shift(g, x), HY_ACT_IDENTITY, MIXED_ALL, by, out);
}

/* The values: the first such layer's are read by all later ones. */
static hy_var values_of(hy_graph *g, const hy_mixer_config *m, hy_var x_v) {
    hy_var v = orthogonal_linear(g, x_v, "v_proj", m->heads * m->value_dim, 1);
    if (g->first_value == HY_NONE) {
        g->first_value = v;
        return hy_node_unary(g, v, HY_ACT_IDENTITY, 1, -INFINITY);
    }
    int64_t cols = hy_var_cols(g, v);
    hy_var share = hy_rwkv_lora(g, x_v, "v_lora", &(hy_rwkv_lora_shape){m->value_rank, cols, HY_ACT_IDENTITY, false});
    hy_weight bias = hy_graph_param(g, "v_lora.lora.2.bias", 1, &cols, HY_INIT_FORMULA, false);
    hy_graph_formula(g, bias, rwkv_start_value);
    return hy_node_lerp(g, v, g->first_value, HY_ACT_SIGMOID, share, bias);
}

/* Keys: κ that is removed and a⊙κ that is written instead, both as the recurrence wants them, and k. */
static void keys_of(hy_graph *g, const hy_mixer_config *m, hy_var x_k, hy_var rate, hy_recur_vars *in) {
    int64_t keys = m->heads * m->head_dim;
    hy_var k = orthogonal_linear(g, x_k, "k_proj", keys, 0.1);
    hy_weight k_k = constant_param(g, "k_k", 1, &keys, 0), k_a = constant_param(g, "k_a", 1, &keys, 1.02);
    hy_graph_formula(g, k_k, start_key);
    in->a = hy_node_l2norm(g, hy_node_scale(g, k, k_k, HY_ACT_IDENTITY, 1, 1), m->head_dim, m->key_norm_eps);
    in->b = hy_node_glu(g, in->a, hy_node_unary(g, rate, HY_ACT_SIGMOID, -1, -INFINITY), HY_ACT_IDENTITY);
    in->k = hy_node_lerp_weight(g, k, hy_node_glu(g, k, rate, HY_ACT_SIGMOID), k_a);
}

hy_var hy_rwkv7_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                      int64_t layer, hy_var x) {
    (void)row;
    int64_t keys = m->heads * m->head_dim, values = m->heads * m->value_dim;
    const double left = 1 - (double)layer / (double)config->layers,
                 gone = ramp(layer, config->layers); /* the layer's depth decides how it starts */
    hy_var mixed[MIXED_ALL];
    mix_by_channel(g, x, left, mixed);
    hy_recur_vars in = {.beta = HY_NONE};
    in.q = orthogonal_linear(g, mixed[MIXED_R], "r_proj", keys, 1);
    in.g = hy_rwkv_lora(g, mixed[MIXED_W], "w_lora", &(hy_rwkv_lora_shape){m->gate_rank, keys, HY_ACT_TANH, true});
    hy_rwkv_start_bias(g, in.g, start_decay, 1 + pow(gone, 0.3), (double)m->head_dim);
    in.g = hy_node_unary(g, in.g, HY_ACT_SIGMOID, -exp(-0.5), -INFINITY);
    hy_var rate =
        hy_rwkv_lora(g, mixed[MIXED_A], "a_lora", &(hy_rwkv_lora_shape){m->rate_rank, keys, HY_ACT_IDENTITY, true});
    hy_rwkv_start_bias(g, rate, start_rate, 0, (double)m->head_dim);
    keys_of(g, m, mixed[MIXED_K], rate, &in);
    in.v = values_of(g, m, mixed[MIXED_V]);
    hy_var gate =
        hy_rwkv_lora(g, mixed[MIXED_G], "g_lora", &(hy_rwkv_lora_shape){m->output_rank, values, HY_ACT_SIGMOID, false});
    hy_weight r_k = constant_param(g, "r_k", 2, (int64_t[]){m->heads, m->head_dim}, -0.04);
    hy_var bonus = hy_node_bonus(g, in.q, in.k, in.v, r_k, m->heads);
    hy_var o = hy_node_recur(g, &in, HY_DECAY_VECTOR, HY_RULE_DPLR, m->heads, m->heads, 1);
    o = hy_node_layernorm(g, o, "g_norm", m->value_dim, m->heads, m->norm_eps, true);
    hy_graph_start(g, o, HY_INIT_CONSTANT, pow((double)(layer + 1) / (double)config->layers, 0.7));
    o = hy_node_glu(g, hy_node_residual(g, o, bonus), gate, HY_ACT_IDENTITY);
    o = hy_node_linear(g, o, "o_proj", config->width, false);
    hy_graph_start(g, o, HY_INIT_ZERO, 0);
    return o;
}
