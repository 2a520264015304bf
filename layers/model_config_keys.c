/* A row's value "default" stands for what the mixer's kind says (HY_DEFAULT); hy_model_config_resolve replaces it by a
 * number. */
#include "layers/model_config_keys.h"

#include "layers/mixers/mixer.h"

static const char *const qk_norm_names[] = {"default", "none", "l2", "sum", "rms_head", "rms_all", "layer", NULL};
static const char *const output_gate_names[] = {"default", "none", "swish", "sigmoid", "head", "channel", NULL};
static const char *const feature_map_names[] = {
    "default",  "identity", "relu", "silu",   "elu",    "elementwise_product",
    "hedgehog", "t2r",      "dpfp", "taylor", "square", NULL};
static const char *const feature_norm_names[] = {"none", "q", "k", "both", NULL};
static const char *const skip_names[] = {"default", "head", "channel", NULL};

static const char *const switch_names[] = {"default", "false", "true", NULL};
static const char *const norm_names[] = {"rms", "layer", NULL};
static const char *const norm_place_names[] = {"pre", "post", NULL};

enum { HEADS_MAX = 65536, HEAD_DIM_MAX = 65536, CONV_MAX = 64, FILTER_WIDTH_MAX = 1024, WIDTH_MAX = 1 << 24 };
#define WINDOW_MAX ((int64_t)1 << 40)

#define MIXER_INT(field, low, high, help)                                                                              \
    {                                                                                                                  \
        HY_SCHEMA_INT(hy_mixer_config, field, #field, "default", low, high, help),                                     \
            HY_SCHEMA_SPECIAL("default", HY_DEFAULT)                                                                   \
    }
#define MIXER_DOUBLE(field, low, high, help)                                                                           \
    {                                                                                                                  \
        HY_SCHEMA_DOUBLE(hy_mixer_config, field, #field, "default", low, high, help),                                  \
            HY_SCHEMA_SPECIAL("default", HY_DEFAULT)                                                                   \
    }

static const hy_schema_entry mixer_rows[] = {
    {HY_SCHEMA_STRING(hy_mixer_config, kind, "kind", NULL, "a row of docs/mixers.md; empty: the entry's own name")},
    MIXER_INT(heads, 1, HEADS_MAX, "query and key heads"),
    MIXER_INT(kv_heads, 1, HEADS_MAX,
              "attention, gla, retention: key and value heads, each serving heads/kv_heads query heads"),
    MIXER_INT(value_heads, 1, HEADS_MAX, "delta rules: value heads, a multiple of heads"),
    MIXER_INT(head_dim, 1, HEAD_DIM_MAX, "channels of a query or key head"),
    MIXER_INT(value_dim, 1, HEAD_DIM_MAX, "channels of a value head"),
    MIXER_INT(conv, 0, CONV_MAX, "width of the short convolution on q, k, v; 0 = none"),
    MIXER_INT(window, 0, WINDOW_MAX, "softmax: tokens seen, the token itself included; 0 = all"),
    MIXER_INT(sinks, 0, HEADS_MAX, "softmax: learned logits per head that only enlarge the denominator"),
    MIXER_INT(feature_dim, 1, HEAD_DIM_MAX, "lizard: rows of the learned feature map"),
    MIXER_INT(kv_rank, 1, WIDTH_MAX, "mla: channels of the latent that keys and values are made of"),
    MIXER_INT(q_rank, 0, WIDTH_MAX, "mla: rank of the projection to queries; 0 = full"),
    MIXER_INT(rope_dim, 1, HEAD_DIM_MAX, "mla: last channels of a head, whose keys all heads share; the rotary ones"),
    MIXER_DOUBLE(rope_base, 0.0, HY_SCHEMA_HIGHEST, "base of the rotary embedding; 0 = none"),
    {HY_SCHEMA_DOUBLE(hy_mixer_config, rope_fraction, "rope_fraction", "1", 0.0, 1.0,
                      "share of the head's channels that the rotary embedding turns")},
    {HY_SCHEMA_ENUM(hy_mixer_config, conv_bias, "conv_bias", "default", switch_names,
                    "bias in the short convolutions")},
    {HY_SCHEMA_BOOL(hy_mixer_config, proj_bias, "proj_bias", "false", "mamba: biases in in_proj and out_proj")},
    {HY_SCHEMA_BOOL(hy_mixer_config, qkv_bias, "qkv_bias", "false", "biases in the q, k, v projections")},
    {HY_SCHEMA_ENUM(hy_mixer_config, qk_norm, "qk_norm", "default", qk_norm_names,
                    "normalisation of q and k per head; attention: rms_head or rms_all, over the whole projection")},
    {HY_SCHEMA_ENUM(hy_mixer_config, output_gate, "output_gate", "default", output_gate_names,
                    "gate on the output: swish or sigmoid elementwise; attention: sigmoid per head or per channel")},
    {HY_SCHEMA_ENUM(hy_mixer_config, feature_map, "feature_map", "default", feature_map_names,
                    "map applied to q and k")},
    {HY_SCHEMA_BOOL(hy_mixer_config, tie_feature_maps, "tie_feature_maps", "false",
                    "learned feature maps: q and k share one")},
    {HY_SCHEMA_ENUM(hy_mixer_config, feature_norm, "feature_norm", "none", feature_norm_names,
                    "after the feature map, divide by the sum of the channels")},
    {HY_SCHEMA_ENUM(hy_mixer_config, normaliser, "normaliser", "default", switch_names,
                    "additive mixers: divide the output by the sum of its weights")},
    MIXER_INT(gate_rank, 1, WIDTH_MAX, "gla, kda, mamba1, rwkv: rank of the decay's projection"),
    {HY_SCHEMA_DOUBLE(hy_mixer_config, gate_divisor, "gate_divisor", "16", DBL_MIN, HY_SCHEMA_HIGHEST,
                      "gla: log decay = logsigmoid/divisor")},
    {HY_SCHEMA_DOUBLE(hy_mixer_config, gate_floor, "gate_floor", "-.inf", -INFINITY, 0.0,
                      "gla: the log decay's lowest value; -.inf = none")},
    {HY_SCHEMA_DOUBLE(hy_mixer_config, lower_bound, "lower_bound", "0", HY_SCHEMA_LOWEST, 0.0,
                      "kda: log decay = lower_bound*sigmoid(...), so never lower; 0 = the plain gate")},
    {HY_SCHEMA_DOUBLE(hy_mixer_config, step_low, "step_low", "0", 0.0, HY_SCHEMA_HIGHEST, "mamba2: least step")},
    {HY_SCHEMA_DOUBLE(hy_mixer_config, step_high, "step_high", ".inf", 0.0, INFINITY, "mamba2: greatest step")},
    {HY_SCHEMA_ENUM(hy_mixer_config, skip, "skip", "default", skip_names,
                    "mamba2: the skip has a factor per head or channel")},
    {HY_SCHEMA_ENUM(hy_mixer_config, gate_first, "gate_first", "default", switch_names,
                    "mamba2: the output gate comes before the output norm")},
    {HY_SCHEMA_ENUM(hy_mixer_config, output_norm, "output_norm", "default", switch_names,
                    "mamba2: whether the output is normed")},
    {HY_SCHEMA_BOOL(hy_mixer_config, beta, "beta", "true", "delta rules: learned write strength; false = 1")},
    {HY_SCHEMA_BOOL(hy_mixer_config, negative_eigenvalues, "negative_eigenvalues", "false",
                    "delta rules: write strength up to 2 instead of 1")},
    MIXER_INT(filter_width, 0, FILTER_WIDTH_MAX,
              "conv_short, conv_medium: taps of the filter (7, 128); conv_long: 0, all"),
    MIXER_INT(filter_groups, 1, WIDTH_MAX,
              "conv_*: filters, each shared by as many channels (default: 16 share one; conv_long: none do)"),
    MIXER_INT(filter_order, 1, FILTER_WIDTH_MAX, "conv_long: exponentials that a filter is the sum of (16)"),
    {HY_SCHEMA_BOOL(
        hy_mixer_config, learned_decay, "learned_decay", "false",
        "conv_medium: learn how fast the taps are damped with their age; false: fixed, swept over filters")},
    MIXER_INT(mix_rank, 1, WIDTH_MAX, "rwkv6: rank of each mixture of a token with the one before it (32)"),
    MIXER_INT(rate_rank, 1, WIDTH_MAX, "rwkv7: rank of the removal's rate"),
    MIXER_INT(value_rank, 1, WIDTH_MAX, "rwkv7: rank of the share of the first layer's values"),
    MIXER_INT(output_rank, 1, WIDTH_MAX, "rwkv7: rank of the output gate"),
    {HY_SCHEMA_DOUBLE(hy_mixer_config, key_norm_eps, "key_norm_eps", "1e-6", 0.0, 1.0,
                      "rwkv7: epsilon under the root of the removed key's norm")},
    {HY_SCHEMA_BOOL(hy_mixer_config, lower_bounds, "lower_bounds", "true",
                    "hgrn, hgrn2: learned lower bounds of the decays")},
    MIXER_INT(levels, 1, 62, "log-linear: states of blocks of 1, 1, 2, 4 ... tokens, in all 2^(levels-1); default 15"),
    MIXER_DOUBLE(norm_eps, 0.0, 1.0, "epsilon of the output norm"),
    {HY_SCHEMA_DOUBLE(hy_mixer_config, qk_norm_eps, "qk_norm_eps", "1e-5", 0.0, 1.0,
                      "attention: epsilon of the RMSNorms of q and k")},
    {HY_SCHEMA_ENUM(hy_mixer_config, mlp, "mlp", "default", switch_names, "whether its layers have an MLP after it")},
    {HY_SCHEMA_ENUM(hy_mixer_config, norm_place, "norm_place", "pre", norm_place_names,
                    "its layers' norms: pre: x += f(norm(x)); post: x += norm(f(x))")},
};

/* Before it is resolved, a mixer's kind may be told by its name, or not known yet. */
static bool mixer_has(const void *object, const hy_schema_entry *entry) {
    const hy_mixer_config *mixer = object;
    const hy_mixer_row *row = hy_mixer_row_find(mixer->kind[0] != '\0' ? mixer->kind : mixer->name);
    return row == NULL || hy_mixer_uses(row, entry->key);
}

const hy_schema hy_mixer_schema = HY_SCHEMA_SOME(hy_mixer_config, mixer_rows, mixer_has);

static const hy_schema_entry model_rows[] = {
    {HY_SCHEMA_INT(hy_model_config, layers, "layers", "24", 1, HY_LAYERS_MAX, "blocks")},
    {HY_SCHEMA_INT(hy_model_config, width, "width", "1024", 1, WIDTH_MAX, "channels of the residual stream")},
    {HY_SCHEMA_INT(hy_model_config, vocab, "vocab", "32000", 2, INT32_MAX, "token ids are 0 .. vocab-1")},
    {HY_SCHEMA_BOOL(hy_model_config, tied, "tied", "false", "embedding and head share one matrix")},
    {HY_SCHEMA_INT(hy_model_config, pad_token, "pad_token", "none", 0, INT32_MAX,
                   "token whose embedding gets no gradient from the input (PyTorch: padding_idx)"),
     HY_SCHEMA_SPECIAL("none", -1)},
    {HY_SCHEMA_STRING(hy_model_config, mlp_kind, "mlp.kind", NULL,
                      "swiglu, rwkv6, rwkv7; empty: that of the first layer's mixer")},
    {HY_SCHEMA_INT(hy_model_config, mlp_width, "mlp.width", "default", 1, WIDTH_MAX,
                   "hidden channels of the MLP; default: 256*ceil(int(width*ratio*2/3)/256)"),
     HY_SCHEMA_SPECIAL("default", 0)},
    {HY_SCHEMA_DOUBLE(hy_model_config, mlp_ratio, "mlp.ratio", "default", DBL_MIN, 1024.0,
                      "default: 4; retention: 2; rwkv6: 3.5"),
     HY_SCHEMA_SPECIAL("default", 0)},
    {HY_SCHEMA_ENUM(hy_model_config, norm, "norm", "rms", norm_names, "block and final norms: RMSNorm or LayerNorm")},
    {HY_SCHEMA_BOOL(hy_model_config, norm_bias, "norm_bias", "true", "LayerNorm: with a bias")},
    {HY_SCHEMA_BOOL(hy_model_config, zero_centred, "zero_centred", "false",
                    "RMSNorms of blocks, of q and k and the final one multiply by 1 + weight")},
    {HY_SCHEMA_BOOL(hy_model_config, pre_norm, "pre_norm", "false",
                    "a norm of the embedding is the residual stream's beginning")},
    {HY_SCHEMA_DOUBLE(hy_model_config, norm_eps, "norm_eps", "1e-6", 0.0, 1.0, "epsilon of block and final norms")},
    {HY_SCHEMA_DOUBLE(hy_model_config, init_std, "init_std", "0.02", 0.0, 1e3,
                      "standard deviation of initial matrices")},
    {HY_SCHEMA_STRING_LIST(hy_model_config, pattern, n_pattern, "schedule.pattern",
                           "gated_deltanet, gated_deltanet, gated_deltanet, attention",
                           "mixers of the layers in order, repeated until the layers are used up")},
    {HY_SCHEMA_INT_MAP(hy_model_config, overrides, n_overrides, layer, mixer, "schedule.overrides", 0,
                       HY_LAYERS_MAX - 1, "single layers by index (from 0): {23: attention}")},
    {HY_SCHEMA_NAMED(hy_model_config, mixers, n_mixers, hy_mixer_config, name, "mixers", &hy_mixer_schema,
                     "parameters of the mixers that the schedule names")},
    {HY_SCHEMA_STRING(hy_model_config, family, "family", NULL, "published family of an imported model; set by import")},
};
const hy_schema hy_model_schema = HY_SCHEMA(hy_model_config, model_rows);
