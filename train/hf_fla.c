/* flash-linear-attention's models: transformer, retnet, gla, delta_net, gated_deltanet and their hybrids, whose key `attn` gives some
 * layers to softmax attention (one spec, or a list of them). Our parameter names are theirs, so tensors map one to one; only the
 * output norm of gla and retnet has two names, by whether it was fused with its gate.
 *
 * Defaults are those of the library's config classes: keys may be missing from a published config.json. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "train/hf_fla.h"

const hy_hf_key hy_hf_fla_keys[] = {
    {"attn_mode", HY_HF_HARMLESS, NULL}, /* which kernel: same results */
    {"attnres_block_size", HY_HF_ONLY, "[null]"},
    {"elementwise_affine", HY_HF_ONLY, "[true]"},
    {"fuse_cross_entropy", HY_HF_HARMLESS, NULL},
    {"fuse_linear_cross_entropy", HY_HF_HARMLESS, NULL},
    {"fuse_norm", HY_HF_USED, NULL},
    {"fuse_swiglu", HY_HF_HARMLESS, NULL},
    {"hidden_act", HY_HF_ONLY, "[\"swish\", \"silu\"]"},
    {"hidden_ratio", HY_HF_USED, NULL},
    {"hidden_size", HY_HF_USED, NULL},
    {"initializer_range", HY_HF_USED, NULL},
    {"intermediate_size", HY_HF_USED, NULL},
    {"norm_eps", HY_HF_USED, NULL},
    {"num_heads", HY_HF_USED, NULL},
    {"num_hidden_layers", HY_HF_USED, NULL},
    {"tie_word_embeddings", HY_HF_USED, NULL},
    {"use_l2warp", HY_HF_ONLY, "[false]"},
    {"vocab_size", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key transformer_keys[] = {
    {"num_kv_heads", HY_HF_USED, NULL},    {"qk_norm", HY_HF_USED, NULL},       {"qkv_bias", HY_HF_USED, NULL},
    {"rope_parameters", HY_HF_USED, NULL}, {"rope_scaling", HY_HF_ONLY, "[null]"}, {"rope_theta", HY_HF_USED, NULL},
    {"window_size", HY_HF_USED, NULL},     {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key retnet_keys[] = {
    {"attn", HY_HF_USED, NULL},           {"conv_size", HY_HF_USED, NULL},    {"expand_k", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},       {"feature_map", HY_HF_USED, NULL},  {"num_kv_heads", HY_HF_USED, NULL},
    {"use_output_gate", HY_HF_USED, NULL}, {"use_short_conv", HY_HF_USED, NULL}, {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key gla_keys[] = {
    {"attn", HY_HF_USED, NULL},         {"clamp_min", HY_HF_USED, NULL},        {"conv_size", HY_HF_USED, NULL},
    {"expand_k", HY_HF_USED, NULL},     {"expand_v", HY_HF_USED, NULL},         {"feature_map", HY_HF_USED, NULL},
    {"num_kv_heads", HY_HF_USED, NULL}, {"use_gk", HY_HF_ONLY, "[true]"},       {"use_gv", HY_HF_ONLY, "[false]"},
    {"use_output_gate", HY_HF_USED, NULL}, {"use_short_conv", HY_HF_USED, NULL}, {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key delta_net_keys[] = {
    {"allow_neg_eigval", HY_HF_USED, NULL}, {"attn", HY_HF_USED, NULL},         {"conv_size", HY_HF_USED, NULL},
    {"expand_k", HY_HF_USED, NULL},         {"expand_v", HY_HF_USED, NULL},     {"qk_activation", HY_HF_USED, NULL},
    {"qk_norm", HY_HF_USED, NULL},          {"use_beta", HY_HF_USED, NULL},     {"use_gate", HY_HF_USED, NULL},
    {"use_output_norm", HY_HF_ONLY, "[true]"}, {"use_short_conv", HY_HF_USED, NULL}, {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key gated_deltanet_keys[] = {
    {"allow_neg_eigval", HY_HF_USED, NULL},       {"attn", HY_HF_USED, NULL},     {"conv_size", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},               {"head_dim", HY_HF_USED, NULL}, {"num_v_heads", HY_HF_USED, NULL},
    {"output_gate_activation", HY_HF_USED, NULL}, {"use_gate", HY_HF_USED, NULL}, {"use_short_conv", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key attn_keys[] = {
    {"layers", HY_HF_USED, NULL},   {"num_heads", HY_HF_USED, NULL},   {"num_kv_heads", HY_HF_USED, NULL},
    {"qkv_bias", HY_HF_USED, NULL}, {"window_size", HY_HF_USED, NULL}, {"rope_theta", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

/* width·expand channels over `heads` heads. */
static int64_t channels_per_head(hy_hf_reader *reader, const char *key, double expand, int64_t width, int64_t heads) {
    double channels = trunc((double)width * expand);
    if (!(channels >= 1 && channels <= INT32_MAX) || (int64_t)channels % heads != 0) {
        hy_hf_unsupported(reader, key, "hidden_size times it must divide into the heads");
        return 1;
    }
    return (int64_t)channels / heads;
}

static void read_feature_map(hy_hf_reader *reader, const char *key, const char *word, hy_mixer_config *mixer) {
    static const struct {
        const char *word;
        hy_feature_map map;
    } maps[] = {{"identity", HY_FEATURE_IDENTITY}, {"relu", HY_FEATURE_RELU}, {"silu", HY_FEATURE_SILU}, {"swish", HY_FEATURE_SILU},
                {"elu", HY_FEATURE_ELU}};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        if (strcmp(maps[i].word, word) == 0) {
            mixer->feature_map = maps[i].map;
            return;
        }
    hy_hf_unsupported(reader, key, "no such feature map here");
}

static hy_mixer_config *add_mixer(hy_hf_reader *reader, hy_model_config *model, const char *name, const char *kind) {
    if (model->n_mixers == HY_MIXERS_MAX) {
        hy_hf_unsupported(reader, "attn", "too many different specs");
        return NULL;
    }
    hy_mixer_config *mixer = &model->mixers[model->n_mixers++];
    hy_mixer_config_init(mixer, name);
    snprintf(mixer->kind, sizeof mixer->kind, "%s", kind);
    return mixer;
}

hy_mixer_config *hy_hf_fla_read_common(hy_hf_reader *reader, hy_model_config *model, const char *kind, double hidden_ratio, int64_t layers,
                                       int64_t heads) {
    model->width = hy_hf_size(reader, "hidden_size", 2048);
    model->layers = hy_hf_size(reader, "num_hidden_layers", layers);
    model->vocab = hy_hf_size(reader, "vocab_size", 32000);
    model->tied = hy_hf_flag(reader, "tie_word_embeddings", false);
    model->norm_eps = hy_hf_real(reader, "norm_eps", 1e-6);
    model->init_std = hy_hf_real(reader, "initializer_range", 0.02);
    model->mlp_ratio = hy_hf_real(reader, "hidden_ratio", hidden_ratio);
    model->mlp_width = hy_hf_size(reader, "intermediate_size", 0);
    if (!(model->norm_eps >= 0) || !isfinite(model->norm_eps))
        hy_hf_unsupported(reader, "norm_eps", "it must be a small positive number");
    if (!(model->mlp_ratio > 0 && model->mlp_ratio < 1000))
        hy_hf_unsupported(reader, "hidden_ratio", "it must be positive");
    if (!(model->init_std >= 0) || !isfinite(model->init_std))
        hy_hf_unsupported(reader, "initializer_range", "it must be positive");
    model->n_pattern = 1;
    snprintf(model->pattern[0], HY_NAME_MAX, "%s", kind);
    hy_mixer_config *mixer = add_mixer(reader, model, kind, kind);
    mixer->heads = hy_hf_size(reader, "num_heads", heads);
    mixer->norm_eps = model->norm_eps;
    return mixer;
}

static void read_softmax(hy_hf_reader *reader, const hy_model_config *model, hy_mixer_config *mixer, int64_t heads) {
    mixer->heads = hy_hf_size(reader, "num_heads", heads);
    mixer->kv_heads = hy_hf_size(reader, "num_kv_heads", mixer->heads);
    mixer->head_dim = channels_per_head(reader, "num_heads", 1, model->width, mixer->heads);
    mixer->qkv_bias = hy_hf_flag(reader, "qkv_bias", false);
    mixer->window = hy_hf_size(reader, "window_size", 0);
    mixer->rope_base = hy_hf_real(reader, "rope_theta", 10000);
    if (!(mixer->rope_base > 0) || !isfinite(mixer->rope_base))
        hy_hf_unsupported(reader, "rope_theta", "the base of rotary positions must be positive");
    if (mixer->heads % mixer->kv_heads != 0)
        hy_hf_unsupported(reader, "num_kv_heads", "it must divide num_heads");
}

/* One spec of `attn`: a mixer and the layers that have it. */
static void read_attn_spec(hy_hf_reader *outer, const json_t *spec, int index, hy_model_config *model) {
    hy_hf_reader reader = {outer->file, "attn.", spec, HY_OK};
    char name[HY_NAME_MAX] = "attention";
    if (!json_is_object(spec)) {
        hy_hf_unsupported(outer, "attn", "wanted an object, or a list of objects");
        return;
    }
    if (index > 0)
        snprintf(name, sizeof name, "attention_%d", index + 1);
    hy_hf_check_keys(&reader, (const hy_hf_key *const[]){attn_keys, NULL});
    hy_mixer_config *mixer = add_mixer(outer, model, name, "attention");
    if (mixer)
        read_softmax(&reader, model, mixer, -1);
    const json_t *layers = json_object_get(spec, "layers"), *layer;
    size_t i;
    if (!json_is_array(layers))
        hy_hf_unsupported(&reader, "layers", "wanted a list of layer numbers");
    json_array_foreach(layers, i, layer) {
        int64_t l = json_is_integer(layer) ? json_integer_value(layer) : -1;
        for (int64_t o = 0; o < model->n_overrides; o++)
            if (model->overrides[o].layer == l)
                hy_hf_unsupported(&reader, "layers", "a layer is listed twice");
        if (l < 0 || l >= model->layers) {
            hy_warn("%s: attn.layers names a layer that the model of %lld layers does not have", outer->file, (long long)model->layers);
        } else if (model->n_overrides < HY_LAYERS_MAX) {
            model->overrides[model->n_overrides].layer = l;
            snprintf(model->overrides[model->n_overrides++].mixer, HY_NAME_MAX, "%s", name);
        }
    }
    if (outer->status == HY_OK)
        outer->status = reader.status;
}

static void read_attn(hy_hf_reader *reader, hy_model_config *model) {
    const json_t *attn = json_object_get(reader->object, "attn"), *spec;
    size_t i;
    if (json_is_array(attn)) {
        json_array_foreach(attn, i, spec) read_attn_spec(reader, spec, (int)i, model);
    } else if (attn && !json_is_null(attn)) {
        read_attn_spec(reader, attn, 0, model);
    }
}

void hy_hf_fla_check_rope_parameters(hy_hf_reader *reader, double base) {
    const json_t *parameters = json_object_get(reader->object, "rope_parameters");
    if (!parameters || json_is_null(parameters))
        return;
    const char *type = json_string_value(json_object_get(parameters, "rope_type"));
    const json_t *theta = json_object_get(parameters, "rope_theta");
    if ((type && strcmp(type, "default") != 0) || (theta && json_number_value(theta) != base))
        hy_hf_unsupported(reader, "rope_parameters", "only the type \"default\", with the base of rope_theta");
}

static void read_transformer(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){transformer_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "attention", 4, 24, 32);
    read_softmax(reader, model, mixer, 32);
    mixer->qk_norm = hy_hf_flag(reader, "qk_norm", false) ? HY_QK_NORM_RMS_HEAD : HY_QK_NORM_NONE;
    hy_hf_fla_check_rope_parameters(reader, mixer->rope_base);
}

/* What retnet and gla share: expansion of hidden_size, grouped keys, optional convolution, feature map and gate. */
static void read_expanded(hy_hf_reader *reader, const hy_model_config *model, hy_mixer_config *mixer, double expand_k, double expand_v) {
    mixer->kv_heads = hy_hf_size(reader, "num_kv_heads", mixer->heads);
    if (mixer->heads % mixer->kv_heads != 0)
        hy_hf_unsupported(reader, "num_kv_heads", "it must divide num_heads");
    mixer->head_dim = channels_per_head(reader, "expand_k", hy_hf_real(reader, "expand_k", expand_k), model->width, mixer->heads);
    mixer->value_dim = channels_per_head(reader, "expand_v", hy_hf_real(reader, "expand_v", expand_v), model->width, mixer->heads);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", false) ? hy_hf_size(reader, "conv_size", 4) : 0;
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
    read_attn(reader, model);
}

static void read_gla(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){gla_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "gla", 4, 24, 4);
    read_expanded(reader, model, mixer, 0.5, 1);
    mixer->gate_rank = 16; /* these two are not in the config */
    mixer->gate_divisor = 16;
    mixer->gate_floor = hy_hf_real(reader, "clamp_min", (double)-INFINITY);
    read_attn(reader, model);
}

static void read_delta_net(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){delta_net_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "deltanet", 4, 24, 16);
    mixer->value_heads = mixer->heads;
    mixer->head_dim = channels_per_head(reader, "expand_k", hy_hf_real(reader, "expand_k", 1), model->width, mixer->heads);
    mixer->value_dim = channels_per_head(reader, "expand_v", hy_hf_real(reader, "expand_v", 1), model->width, mixer->heads);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", true) ? hy_hf_size(reader, "conv_size", 4) : 0;
    mixer->output_gate = hy_hf_flag(reader, "use_gate", false) ? HY_GATE_SWISH : HY_GATE_NONE;
    mixer->beta = hy_hf_flag(reader, "use_beta", true);
    mixer->negative_eigenvalues = hy_hf_flag(reader, "allow_neg_eigval", false);
    read_feature_map(reader, "qk_activation", hy_hf_word(reader, "qk_activation", "silu"), mixer);
    const char *norm = hy_hf_word(reader, "qk_norm", "l2");
    mixer->qk_norm = strcmp(norm, "sum") == 0 ? HY_QK_NORM_SUM : HY_QK_NORM_L2;
    if (mixer->qk_norm == HY_QK_NORM_L2 && strcmp(norm, "l2") != 0)
        hy_hf_unsupported(reader, "qk_norm", "only \"l2\" or \"sum\"");
    read_attn(reader, model);
}

static void read_gated_deltanet(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){gated_deltanet_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "gated_deltanet", 4, 21, 6);
    mixer->value_heads = hy_hf_size(reader, "num_v_heads", mixer->heads);
    mixer->head_dim = hy_hf_size(reader, "head_dim", 256);
    mixer->value_dim = channels_per_head(reader, "expand_v", hy_hf_real(reader, "expand_v", 2), mixer->head_dim, 1);
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
    read_attn(reader, model);
}

int hy_hf_fla_bind_same(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    (void)config;
    hy_hf_bind_whole(param, param->name, out);
    return 1;
}

/* g_norm_swish_gate where norm and gate are one module (fuse_norm and use_output_gate), else g_norm. */
static int bind_gated_norm(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    const json_t *fuse = json_object_get(config, "fuse_norm"), *gate = json_object_get(config, "use_output_gate");
    bool fused = (!fuse || json_is_true(fuse)) && (!gate || json_is_true(gate));
    const char *at = strstr(param->name, ".attn.g_norm");
    char name[192];
    if (!at)
        return hy_hf_fla_bind_same(config, param, out);
    snprintf(name, sizeof name, "%.*s.attn.%s.weight", (int)(at - param->name), param->name, fused ? "g_norm_swish_gate" : "g_norm");
    hy_hf_bind_whole(param, name, out);
    return 1;
}

const char *const hy_hf_fla_skip[] = {"*.rotary.inv_freq", NULL};

const hy_hf_family hy_hf_fla_transformer = {.model_type = "transformer", .read = read_transformer, .bind = hy_hf_fla_bind_same, .skip = hy_hf_fla_skip,
                                             .describe = hy_hf_fla_describe_transformer};
const hy_hf_family hy_hf_fla_retnet = {.model_type = "retnet", .read = read_retnet, .bind = bind_gated_norm, .skip = hy_hf_fla_skip,
                                        .describe = hy_hf_fla_describe_retnet};
const hy_hf_family hy_hf_fla_gla = {.model_type = "gla", .read = read_gla, .bind = bind_gated_norm, .skip = hy_hf_fla_skip,
                                     .describe = hy_hf_fla_describe_gla};
const hy_hf_family hy_hf_fla_delta_net = {.model_type = "delta_net", .read = read_delta_net, .bind = hy_hf_fla_bind_same, .skip = hy_hf_fla_skip,
                                           .describe = hy_hf_fla_describe_delta_net};
const hy_hf_family hy_hf_fla_gated_deltanet = {.model_type = "gated_deltanet", .read = read_gated_deltanet, .bind = hy_hf_fla_bind_same, .skip = hy_hf_fla_skip,
                                                .describe = hy_hf_fla_describe_gated_deltanet};
