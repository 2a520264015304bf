/* config.json of a model that was made here, in the terms of transformers' dense decoders. Whether every number survives is found out by
 * reading the result back, so these only see to it that the mixers are those of the family. */
#include <math.h>
#include <string.h>

#include "train/publish/hf_transformers.h"

static json_t *describe_decoder(const hy_model_config *model, const char *type, const char *class,
                                const hy_mixer_config *attention) {
    json_t *rope = json_pack("{s:s, s:o, s:f}", "rope_type", "default", "rope_theta",
                             attention->rope_base > 0 ? json_real(attention->rope_base) : json_null(),
                             "partial_rotary_factor", attention->rope_fraction);
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b, s:s, s:b, s:I, s:I, s:o}", "model_type",
                     type, "architectures", class, "vocab_size", (json_int_t)model->vocab, "hidden_size",
                     (json_int_t)model->width, "intermediate_size", (json_int_t)model->mlp_width, "num_hidden_layers",
                     (json_int_t)model->layers, "num_attention_heads", (json_int_t)attention->heads, "rms_norm_eps",
                     model->norm_eps, "initializer_range", model->init_std, "tie_word_embeddings", (int)model->tied,
                     "hidden_act", "silu", "use_cache", 1, "num_key_value_heads", (json_int_t)attention->kv_heads,
                     "head_dim", (json_int_t)attention->head_dim, "rope_parameters", rope);
}

/* The two mixers of a hybrid, each the only one of its kind; false if the model is none. */
static bool find_pair(const hy_model_config *model, const char *kind, const hy_mixer_config *pair[2]) {
    pair[0] = hy_hf_fla_only_mixer(model, kind);
    pair[1] = hy_hf_fla_only_mixer(model, "attention");
    return pair[0] && pair[1] && hy_hf_fla_fits(model, kind);
}

static bool is_attention(const hy_model_config *model, int64_t layer) {
    return strcmp(model->mixers[model->layer_mixer[layer]].kind, "attention") == 0;
}

json_t *hy_hf_describe_llama(const hy_model_config *model) {
    const hy_mixer_config *attention = hy_hf_fla_only_mixer(model, "attention");
    return attention && hy_hf_fla_fits(model, "attention")
               ? describe_decoder(model, "llama", "LlamaForCausalLM", attention)
               : NULL;
}

static json_t *describe_linear(const hy_model_config *model, const hy_mixer_config *linear) {
    json_t *types = json_array();
    for (int64_t l = 0; l < model->layers; l++)
        json_array_append_new(types, json_string(is_attention(model, l) ? "full_attention" : "linear_attention"));
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "layer_types", types, "linear_num_key_heads",
                     (json_int_t)linear->heads, "linear_num_value_heads", (json_int_t)linear->value_heads,
                     "linear_key_head_dim", (json_int_t)linear->head_dim, "linear_value_head_dim",
                     (json_int_t)linear->value_dim, "linear_conv_kernel_dim", (json_int_t)linear->conv);
}

json_t *hy_hf_describe_qwen3_5(const hy_model_config *model) {
    const hy_mixer_config *pair[2];
    if (!find_pair(model, "gated_deltanet", pair) || !model->zero_centred || pair[0]->conv == 0)
        return NULL;
    json_t *json = describe_decoder(model, "qwen3_5_text", "Qwen3_5ForCausalLM", pair[1]);
    hy_hf_fla_merge(json, describe_linear(model, pair[0]));
    return json;
}

json_t *hy_hf_describe_olmo_hybrid(const hy_model_config *model) {
    const hy_mixer_config *pair[2];
    if (!find_pair(model, "gated_deltanet", pair) || pair[1]->norm_place != HY_NORM_POST || pair[0]->conv == 0)
        return NULL;
    json_t *json = describe_decoder(model, "olmo_hybrid", "OlmoHybridForCausalLM", pair[1]);
    hy_hf_fla_merge(json, describe_linear(model, pair[0]));
    json_object_set_new(json, "linear_allow_neg_eigval", json_boolean(pair[0]->negative_eigenvalues));
    return json;
}

json_t *hy_hf_describe_bamba(const hy_model_config *model) {
    const hy_mixer_config *pair[2];
    if (!find_pair(model, "mamba2", pair) || pair[1]->rope_fraction != 0.5)
        return NULL;
    const hy_mixer_config *mamba = pair[0];
    json_t *json = describe_decoder(model, "bamba", "BambaForCausalLM", pair[1]), *layers = json_array();
    for (int64_t l = 0; l < model->layers; l++)
        if (is_attention(model, l))
            json_array_append_new(layers, json_integer(l));
    json_t *high =
        isfinite(mamba->step_high) ? json_real(mamba->step_high) : json_pack("{s:s}", "__float__", "Infinity");
    hy_hf_fla_merge(
        json, json_pack("{s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:[f, o]}", "attn_layer_indices", layers,
                        "mamba_expand", (double)(mamba->value_heads * mamba->value_dim) / (double)model->width,
                        "mamba_n_heads", (json_int_t)mamba->value_heads, "mamba_d_head", (json_int_t)mamba->value_dim,
                        "mamba_n_groups", (json_int_t)mamba->heads, "mamba_d_state", (json_int_t)mamba->head_dim,
                        "mamba_d_conv", (json_int_t)mamba->conv, "mamba_conv_bias", mamba->conv_bias == HY_SWITCH_ON,
                        "mamba_proj_bias", (int)mamba->proj_bias, "time_step_limit", mamba->step_low, high));
    return json;
}
