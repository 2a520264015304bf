/* flash-linear-attention's models: transformer, retnet, gla, delta_net, gated_deltanet and their hybrids, whose key `attn` gives some
 * layers to softmax attention (one spec, or a list of them). Our parameter names are theirs, so tensors map one to one; only the
 * output norm of gla and retnet has two names, by whether it was fused with its gate.
 *
 * Defaults are those of the library's config classes: keys may be missing from a published config.json. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/publish/hf_fla.h"

static const hy_hf_key transformer_keys[] = {
    {"num_kv_heads", HY_HF_USED, NULL},    {"qk_norm", HY_HF_USED, NULL},          {"qkv_bias", HY_HF_USED, NULL},
    {"rope_parameters", HY_HF_USED, NULL}, {"rope_scaling", HY_HF_ONLY, "[null]"}, {"rope_theta", HY_HF_USED, NULL},
    {"window_size", HY_HF_USED, NULL},     {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key retnet_keys[] = {
    {"attn", HY_HF_USED, NULL},
    {"conv_size", HY_HF_HARMLESS, NULL},
    {"expand_k", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},
    {"feature_map", HY_HF_USED, NULL},
    {"num_kv_heads", HY_HF_USED, NULL},
    {"use_output_gate", HY_HF_USED, NULL},
    {"use_short_conv", HY_HF_HARMLESS, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
}; /* their model does not pass the convolution on to its layers: files never hold one */

static const hy_hf_key gla_keys[] = {
    {"attn", HY_HF_USED, NULL},           {"clamp_min", HY_HF_USED, NULL},
    {"conv_size", HY_HF_USED, NULL},      {"expand_k", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},       {"feature_map", HY_HF_USED, NULL},
    {"num_kv_heads", HY_HF_USED, NULL},   {"use_gk", HY_HF_ONLY, "[true]"},
    {"use_gv", HY_HF_ONLY, "[false]"},    {"use_output_gate", HY_HF_USED, NULL},
    {"use_short_conv", HY_HF_USED, NULL}, {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key delta_net_keys[] = {
    {"allow_neg_eigval", HY_HF_USED, NULL}, {"attn", HY_HF_USED, NULL},
    {"conv_size", HY_HF_USED, NULL},        {"expand_k", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},         {"qk_activation", HY_HF_USED, NULL},
    {"qk_norm", HY_HF_USED, NULL},          {"use_beta", HY_HF_USED, NULL},
    {"use_gate", HY_HF_USED, NULL},         {"use_output_norm", HY_HF_ONLY, "[true]"},
    {"use_short_conv", HY_HF_USED, NULL},   {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key gated_deltanet_keys[] = {
    {"allow_neg_eigval", HY_HF_USED, NULL},
    {"attn", HY_HF_USED, NULL},
    {"conv_size", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},
    {"head_dim", HY_HF_USED, NULL},
    {"num_v_heads", HY_HF_USED, NULL},
    {"output_gate_activation", HY_HF_USED, NULL},
    {"use_gate", HY_HF_USED, NULL},
    {"use_short_conv", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static void read_feature_map(hy_hf_reader *reader, const char *key, const char *word, hy_mixer_config *mixer) {
    static const struct {
        const char *word;
        hy_feature_map map;
    } maps[] = {{"identity", HY_FEATURE_IDENTITY},
                {"relu", HY_FEATURE_RELU},
                {"silu", HY_FEATURE_SILU},
                {"swish", HY_FEATURE_SILU},
                {"elu", HY_FEATURE_ELU}};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        if (strcmp(maps[i].word, word) == 0) {
            mixer->feature_map = maps[i].map;
            return;
        }
    hy_hf_unsupported(reader, key, "no such feature map here");
}

static void read_transformer(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){transformer_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "attention", 4, 24, 32);
    hy_hf_fla_read_softmax(reader, model, mixer, 32);
    mixer->qk_norm = hy_hf_flag(reader, "qk_norm", false) ? HY_QK_NORM_RMS_HEAD : HY_QK_NORM_NONE;
    hy_hf_fla_check_rope_parameters(reader, mixer->rope_base);
}

/* What retnet and gla share: expansion of hidden_size, grouped keys, feature map and gate. */
static void read_expanded(hy_hf_reader *reader, const hy_model_config *model, hy_mixer_config *mixer, double expand_k,
                          double expand_v) {
    mixer->kv_heads = hy_hf_size(reader, "num_kv_heads", mixer->heads);
    if (mixer->heads % mixer->kv_heads != 0)
        hy_hf_unsupported(reader, "num_kv_heads", "it must divide num_heads");
    mixer->head_dim =
        hy_hf_fla_channels(reader, "expand_k", hy_hf_real(reader, "expand_k", expand_k), model->width, mixer->heads);
    mixer->value_dim =
        hy_hf_fla_channels(reader, "expand_v", hy_hf_real(reader, "expand_v", expand_v), model->width, mixer->heads);
    mixer->output_gate = hy_hf_flag(reader, "use_output_gate", true) ? HY_GATE_SWISH : HY_GATE_NONE;
    const char *map = hy_hf_word(reader, "feature_map", "identity");
    if (strcmp(map, "elu") == 0) /* theirs lacks the +1 of ours here */
        hy_hf_unsupported(reader, "feature_map", "no such feature map here");
    else
        read_feature_map(reader, "feature_map", map, mixer);
}

static void read_retnet(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){retnet_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "retention", 2, 24, 8);
    read_expanded(reader, model, mixer, 1, 2);
    hy_hf_fla_read_attn(reader, model);
}

static void read_gla(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){gla_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "gla", 4, 24, 4);
    read_expanded(reader, model, mixer, 0.5, 1);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", false) ? hy_hf_size(reader, "conv_size", 4) : 0;
    mixer->gate_rank = 16; /* these two are not in the config */
    mixer->gate_divisor = 16;
    mixer->gate_floor = hy_hf_real(reader, "clamp_min", (double)-INFINITY);
    hy_hf_fla_read_attn(reader, model);
}

static void read_delta_net(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){delta_net_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "deltanet", 4, 24, 16);
    mixer->value_heads = mixer->heads;
    mixer->head_dim =
        hy_hf_fla_channels(reader, "expand_k", hy_hf_real(reader, "expand_k", 1), model->width, mixer->heads);
    mixer->value_dim =
        hy_hf_fla_channels(reader, "expand_v", hy_hf_real(reader, "expand_v", 1), model->width, mixer->heads);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", true) ? hy_hf_size(reader, "conv_size", 4) : 0;
    mixer->output_gate = hy_hf_flag(reader, "use_gate", false) ? HY_GATE_SWISH : HY_GATE_NONE;
    mixer->beta = hy_hf_flag(reader, "use_beta", true);
    mixer->negative_eigenvalues = hy_hf_flag(reader, "allow_neg_eigval", false);
    read_feature_map(reader, "qk_activation", hy_hf_word(reader, "qk_activation", "silu"), mixer);
    const char *norm = hy_hf_word(reader, "qk_norm", "l2");
    mixer->qk_norm = strcmp(norm, "sum") == 0 ? HY_QK_NORM_SUM : HY_QK_NORM_L2;
    if (mixer->qk_norm == HY_QK_NORM_L2 && strcmp(norm, "l2") != 0)
        hy_hf_unsupported(reader, "qk_norm", "only \"l2\" or \"sum\"");
    hy_hf_fla_read_attn(reader, model);
}

static void read_gated_deltanet(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){gated_deltanet_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "gated_deltanet", 4, 21, 6);
    mixer->value_heads = hy_hf_size(reader, "num_v_heads", mixer->heads);
    mixer->head_dim = hy_hf_size(reader, "head_dim", 256);
    mixer->value_dim = hy_hf_fla_channels(reader, "expand_v", hy_hf_real(reader, "expand_v", 2), mixer->head_dim, 1);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", true) ? hy_hf_size(reader, "conv_size", 4) : 0;
    mixer->negative_eigenvalues = hy_hf_flag(reader, "allow_neg_eigval", false);
    const char *act = hy_hf_word(reader, "output_gate_activation", "swish");
    mixer->output_gate = strcmp(act, "sigmoid") == 0 ? HY_GATE_SIGMOID : HY_GATE_SWISH;
    if (strcmp(act, "sigmoid") != 0 && strcmp(act, "swish") != 0 && strcmp(act, "silu") != 0)
        hy_hf_unsupported(reader, "output_gate_activation", "only \"swish\" or \"sigmoid\"");
    if (!hy_hf_flag(reader, "use_gate", true))
        mixer->output_gate = HY_GATE_NONE;
    if (mixer->value_heads % mixer->heads != 0)
        hy_hf_unsupported(reader, "num_v_heads", "it must be a multiple of num_heads");
    hy_hf_fla_read_attn(reader, model);
}

/* g_norm_swish_gate where norm and gate are one module (fuse_norm and use_output_gate), else g_norm. */
static int bind_gated_norm(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    const json_t *fuse = json_object_get(config, "fuse_norm"), *gate = json_object_get(config, "use_output_gate");
    bool fused = (!fuse || json_is_true(fuse)) && (!gate || json_is_true(gate));
    const char *at = strstr(param->name, ".attn.g_norm");
    char name[192];
    if (!at)
        return hy_hf_fla_bind_same(config, param, out);
    snprintf(name, sizeof name, "%.*s.attn.%s.weight", (int)(at - param->name), param->name,
             fused ? "g_norm_swish_gate" : "g_norm");
    hy_hf_bind_whole(param, name, out);
    return 1;
}

const hy_hf_family hy_hf_fla_transformer = {.model_type = "transformer",
                                            .kind = "attention",
                                            .read = read_transformer,
                                            .bind = hy_hf_fla_bind_same,
                                            .skip = hy_hf_fla_skip,
                                            .describe = hy_hf_fla_describe_transformer};
const hy_hf_family hy_hf_fla_retnet = {.model_type = "retnet",
                                       .kind = "retention",
                                       .softmax = HY_HF_ANY,
                                       .read = read_retnet,
                                       .bind = bind_gated_norm,
                                       .skip = hy_hf_fla_skip,
                                       .describe = hy_hf_fla_describe_retnet};
const hy_hf_family hy_hf_fla_gla = {.model_type = "gla",
                                    .kind = "gla",
                                    .softmax = HY_HF_ANY,
                                    .read = read_gla,
                                    .bind = bind_gated_norm,
                                    .skip = hy_hf_fla_skip,
                                    .describe = hy_hf_fla_describe_gla};
const hy_hf_family hy_hf_fla_delta_net = {.model_type = "delta_net",
                                          .kind = "deltanet",
                                          .softmax = HY_HF_ANY,
                                          .read = read_delta_net,
                                          .bind = hy_hf_fla_bind_same,
                                          .skip = hy_hf_fla_skip,
                                          .describe = hy_hf_fla_describe_delta_net};
const hy_hf_family hy_hf_fla_gated_deltanet = {.model_type = "gated_deltanet",
                                               .kind = "gated_deltanet",
                                               .softmax = HY_HF_ANY,
                                               .read = read_gated_deltanet,
                                               .bind = hy_hf_fla_bind_same,
                                               .skip = hy_hf_fla_skip,
                                               .describe = hy_hf_fla_describe_gated_deltanet};
