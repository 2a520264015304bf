/* Mamba-2 layers as transformers' library has them: alone (mamba2, blocks without MLP) and beside softmax attention (bamba, every block
 * with MLP, rotary embedding of half a head). flash-linear-attention's mamba2 has the same model_type and names of tensors (hf_fla_mamba2.c). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/publish/hf_transformers.h"

/* Of both: how a new model starts, and how a product is cut. */
static const hy_hf_key harmless_keys[] = {
    {"time_step_floor", HY_HF_HARMLESS, NULL},
    {"time_step_max", HY_HF_HARMLESS, NULL},
    {"time_step_min", HY_HF_HARMLESS, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key mamba2_keys[] = {
    {"chunk_size", HY_HF_HARMLESS, NULL},
    {"conv_kernel", HY_HF_USED, NULL},
    {"expand", HY_HF_USED, NULL},
    {"head_dim", HY_HF_USED, NULL},
    {"hidden_act", HY_HF_ONLY, "[\"silu\", \"swish\"]"},
    {"hidden_size", HY_HF_USED, NULL},
    {"initializer_range", HY_HF_USED, NULL},
    {"layer_norm_epsilon", HY_HF_USED, NULL},
    {"n_groups", HY_HF_USED, NULL},
    {"norm_before_gate", HY_HF_HARMLESS, NULL}, /* this and rms_norm are never read by the library */
    {"num_heads", HY_HF_USED, NULL},
    {"num_hidden_layers", HY_HF_USED, NULL},
    {"rescale_prenorm_residual", HY_HF_HARMLESS, NULL},
    {"residual_in_fp32", HY_HF_HARMLESS, NULL},
    {"rms_norm", HY_HF_HARMLESS, NULL},
    {"state_size", HY_HF_USED, NULL},
    {"tie_word_embeddings", HY_HF_USED, NULL},
    {"time_step_limit", HY_HF_USED, NULL},
    {"time_step_rank", HY_HF_HARMLESS, NULL},
    {"use_bias", HY_HF_USED, NULL},
    {"use_conv_bias", HY_HF_USED, NULL},
    {"vocab_size", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key bamba_keys[] = {
    {"attn_layer_indices", HY_HF_USED, NULL},
    {"mamba_chunk_size", HY_HF_HARMLESS, NULL},
    {"mamba_conv_bias", HY_HF_USED, NULL},
    {"mamba_d_conv", HY_HF_USED, NULL},
    {"mamba_d_head", HY_HF_USED, NULL},
    {"mamba_d_state", HY_HF_USED, NULL},
    {"mamba_expand", HY_HF_USED, NULL},
    {"mamba_n_groups", HY_HF_USED, NULL},
    {"mamba_n_heads", HY_HF_USED, NULL},
    {"mamba_proj_bias", HY_HF_USED, NULL},
    {"num_logits_to_keep", HY_HF_HARMLESS, NULL},
    {"time_step_limit", HY_HF_USED, NULL},
    {"z_loss_coefficient", HY_HF_ONLY, "[0, 0.0, null]"},
    {NULL, HY_HF_HARMLESS, NULL},
};

/* Names of the keys that say the same in both families, and the defaults of their classes. */
typedef struct layer_keys {
    const char *heads, *head_dim, *groups, *state, *conv, *conv_bias, *bias, *expand;
    int64_t d_heads, d_head_dim, d_groups, d_state; /* d_head_dim 0: all channels over the heads */
} layer_keys;

static const layer_keys mamba2_layer = {
    "num_heads", "head_dim", "n_groups", "state_size", "conv_kernel", "use_conv_bias", "use_bias", "expand",
    128,         64,         8,          128};
static const layer_keys bamba_layer = {"mamba_n_heads",
                                       "mamba_d_head",
                                       "mamba_n_groups",
                                       "mamba_d_state",
                                       "mamba_d_conv",
                                       "mamba_conv_bias",
                                       "mamba_proj_bias",
                                       "mamba_expand",
                                       128,
                                       0,
                                       1,
                                       256};

static void read_layer(hy_hf_reader *reader, const layer_keys *keys, hy_model_config *model) {
    hy_mixer_config *mixer = hy_hf_add_mixer(model, "mamba2");
    double inner = trunc(hy_hf_real(reader, keys->expand, 2) * (double)model->width);
    mixer->heads = hy_hf_size(reader, keys->groups, keys->d_groups);
    mixer->head_dim = hy_hf_size(reader, keys->state, keys->d_state);
    mixer->value_heads = hy_hf_size(reader, keys->heads, keys->d_heads);
    const char *automatic = json_string_value(json_object_get(reader->object, keys->head_dim));
    int64_t share = inner >= 1 && inner <= INT32_MAX ? (int64_t)inner / mixer->value_heads : 1;
    if (keys->d_head_dim == 0 && automatic && strcmp(automatic, "auto") == 0)
        mixer->value_dim = share;
    else
        mixer->value_dim = hy_hf_size(reader, keys->head_dim, keys->d_head_dim > 0 ? keys->d_head_dim : share);
    mixer->conv = hy_hf_size(reader, keys->conv, 4);
    mixer->conv_bias = hy_hf_flag(reader, keys->conv_bias, true) ? HY_SWITCH_ON : HY_SWITCH_OFF;
    mixer->proj_bias = hy_hf_flag(reader, keys->bias, false);
    mixer->norm_eps = model->norm_eps;
    if ((double)mixer->value_heads * (double)mixer->value_dim != inner)
        hy_hf_unsupported(reader, keys->heads, "heads times their channels must be hidden_size times the expansion");
    if (mixer->value_heads % mixer->heads != 0)
        hy_hf_unsupported(reader, keys->groups, "it must divide the number of heads");
    hy_hf_read_limits(reader, "time_step_limit", mixer);
}

static void read_mamba2(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){mamba2_keys, harmless_keys, hy_hf_common_keys, NULL});
    model->vocab = hy_hf_size(reader, "vocab_size", 32768);
    model->width = hy_hf_size(reader, "hidden_size", 4096);
    model->layers = hy_hf_size(reader, "num_hidden_layers", 64);
    model->tied = hy_hf_flag(reader, "tie_word_embeddings", false);
    model->norm_eps = hy_hf_share(reader, "layer_norm_epsilon", 1e-5);
    model->init_std = hy_hf_share(reader, "initializer_range", 0.1);
    read_layer(reader, &mamba2_layer, model);
    model->n_pattern = 1;
    snprintf(model->pattern[0], HY_NAME_MAX, "mamba2");
}

static void read_attention_layers(hy_hf_reader *reader, hy_model_config *model) {
    const json_t *layers = json_object_get(reader->object, "attn_layer_indices"), *layer;
    size_t i;
    bool wrong = layers && !json_is_null(layers) && !json_is_array(layers);
    json_array_foreach(layers, i, layer) {
        int64_t l = json_is_integer(layer) ? json_integer_value(layer) : -1;
        for (int64_t o = 0; o < model->n_overrides; o++)
            wrong = wrong || model->overrides[o].layer == l;
        wrong = wrong || l < 0 || l >= model->layers;
        if (!wrong)
            hy_hf_override(model, l, "attention");
    }
    if (wrong)
        hy_hf_unsupported(reader, "attn_layer_indices", "wanted a list of layers, each once");
}

static void read_bamba(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_decoder d = {.vocab = 128000,
                       .width = 4096,
                       .mlp_width = 14336,
                       .layers = 32,
                       .heads = 32,
                       .kv_heads = 8,
                       .pad_token = 0 + 1,
                       .norm_eps = 1e-5,
                       .rope_fraction = 0.5};
    hy_hf_check_keys(
        reader, (const hy_hf_key *const[]){bamba_keys, harmless_keys, hy_hf_decoder_keys, hy_hf_common_keys, NULL});
    hy_hf_read_decoder(reader, &d, model);
    read_layer(reader, &bamba_layer, model);
    model->mixers[0].mlp = HY_SWITCH_ON;
    hy_mixer_config *attention = hy_hf_read_softmax(reader, &d, model);
    const json_t *factor = json_object_get(json_object_get(reader->object, "rope_parameters"), "partial_rotary_factor");
    if (factor && json_number_value(factor) != 0.5)
        hy_hf_unsupported(reader, "rope_parameters", "this family turns half of a head");
    attention->rope_fraction = 0.5; /* whatever the factor at top level */
    model->n_pattern = 1;
    snprintf(model->pattern[0], HY_NAME_MAX, "mamba2");
    read_attention_layers(reader, model);
}

static bool is_attention_layer(const json_t *config, int64_t layer) {
    const json_t *indices = json_object_get(config, "attn_layer_indices"), *index;
    size_t i;
    json_array_foreach(indices, i, index) if (json_integer_value(index) == layer) return true;
    return false;
}

static int bind_bamba(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    hy_hf_rename names[] = {{"model.embeddings.", "model.embed_tokens."},
                            {"model.norm.", "model.final_layernorm."},
                            {".attn_norm.", ".input_layernorm."},
                            {".mlp_norm.", ".pre_ff_layernorm."},
                            {".mlp.", ".feed_forward."},
                            {".attn.", ".mamba."},
                            {NULL, NULL}};
    if (is_attention_layer(config, hy_hf_param_layer(param->name)))
        names[5].theirs = ".self_attn.";
    return hy_hf_bind_renamed(param, names, out);
}

/* A config.json without any key of this library alone is the other's. */
static bool is_transformers(const json_t *config) {
    return !hy_hf_fla_mamba2.is(config);
}

const hy_hf_family hy_hf_mamba2 = {.model_type = "mamba2",
                                   .kind = "mamba2",
                                   .is = is_transformers,
                                   .read = read_mamba2,
                                   .bind = hy_hf_bind_backbone_norm,
                                   .describe = hy_hf_describe_mamba2};
const hy_hf_family hy_hf_bamba = {.model_type = "bamba",
                                  .kind = "mamba2",
                                  .softmax = HY_HF_PAIR,
                                  .read = read_bamba,
                                  .bind = bind_bamba,
                                  .describe = hy_hf_describe_bamba};
