/* config.json of a model that was made here, in the terms of transformers' decoders. */
#include <math.h>
#include <string.h>

#include "train/publish/hf_transformers.h"

/* No rotary positions: a base of null, where the family knows that. */
static json_t *describe_decoder(const hy_model_config *model, const char *type, const char *class,
                                const hy_mixer_config *attention, double fraction, bool rope_optional) {
    json_t *base = rope_optional && attention->rope_base <= 0 ? json_null() : json_real(hy_hf_fla_base(attention));
    json_t *rope =
        json_pack("{s:s, s:o, s:f}", "rope_type", "default", "rope_theta", base, "partial_rotary_factor", fraction);
    return json_pack(
        "{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b, s:s, s:b, s:I, s:I, s:o, s:o}", "model_type", type,
        "architectures", class, "vocab_size", (json_int_t)model->vocab, "hidden_size", (json_int_t)model->width,
        "intermediate_size", (json_int_t)(model->mlp_width > 0 ? model->mlp_width : 1), "num_hidden_layers",
        (json_int_t)model->layers, "num_attention_heads", (json_int_t)attention->heads, "rms_norm_eps", model->norm_eps,
        "initializer_range", fmin(model->init_std, 1), "tie_word_embeddings", (int)model->tied, "hidden_act", "silu",
        "use_cache", 1, "num_key_value_heads", (json_int_t)attention->kv_heads, "head_dim",
        (json_int_t)attention->head_dim, "rope_parameters", rope, "pad_token_id", hy_hf_pad_token(model));
}

static bool is_attention(const hy_model_config *model, int64_t layer) {
    return strcmp(model->mixers[model->layer_mixer[layer]].kind, "attention") == 0;
}

json_t *hy_hf_describe_llama(hy_hf_subject *subject) {
    return describe_decoder(subject->model, "llama", "LlamaForCausalLM", subject->own, 1, false);
}

static json_t *describe_linear(const hy_model_config *model, const hy_mixer_config *linear) {
    json_t *types = json_array();
    for (int64_t l = 0; l < model->layers; l++)
        json_array_append_new(types, json_string(is_attention(model, l) ? "full_attention" : "linear_attention"));
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "layer_types", types, "linear_num_key_heads",
                     (json_int_t)linear->heads, "linear_num_value_heads", (json_int_t)linear->value_heads,
                     "linear_key_head_dim", (json_int_t)linear->head_dim, "linear_value_head_dim",
                     (json_int_t)linear->value_dim, "linear_conv_kernel_dim",
                     (json_int_t)(linear->conv > 0 ? linear->conv : 4));
}

json_t *hy_hf_describe_qwen3_5(hy_hf_subject *subject) {
    json_t *json = describe_decoder(subject->model, "qwen3_5_text", "Qwen3_5ForCausalLM", subject->softmax,
                                    subject->softmax->rope_fraction, false);
    hy_hf_fla_merge(json, describe_linear(subject->model, subject->own));
    return json;
}

json_t *hy_hf_describe_olmo_hybrid(hy_hf_subject *subject) {
    json_t *json = describe_decoder(subject->model, "olmo_hybrid", "OlmoHybridForCausalLM", subject->softmax, 1, true);
    hy_hf_fla_merge(json, describe_linear(subject->model, subject->own));
    json_object_set_new(json, "linear_allow_neg_eigval", json_boolean(subject->own->negative_eigenvalues));
    return json;
}

/* Channels of all heads over the width, which must be whole here; 0 and subject->why if it is not. */
static json_int_t whole_expansion(hy_hf_subject *subject) {
    const int64_t inner = subject->own->value_heads * subject->own->value_dim;
    if (inner % subject->model->width == 0)
        return inner / subject->model->width;
    subject->why = "value_heads times value_dim of mamba2 is no multiple of model.width";
    return 0;
}

json_t *hy_hf_describe_mamba2(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mamba = subject->own;
    const json_int_t expand = whole_expansion(subject);
    if (expand == 0)
        return NULL;
    json_t *json = json_pack("{s:s, s:[s], s:I, s:I, s:I, s:b, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "model_type",
                             "mamba2", "architectures", "Mamba2ForCausalLM", "vocab_size", (json_int_t)model->vocab,
                             "hidden_size", (json_int_t)model->width, "num_hidden_layers", (json_int_t)model->layers,
                             "tie_word_embeddings", (int)model->tied, "layer_norm_epsilon", model->norm_eps,
                             "initializer_range", fmin(model->init_std, 1), "expand", expand, "num_heads",
                             (json_int_t)mamba->value_heads, "head_dim", (json_int_t)mamba->value_dim, "n_groups",
                             (json_int_t)mamba->heads, "state_size", (json_int_t)mamba->head_dim);
    hy_hf_fla_merge(json, json_pack("{s:I, s:b, s:b, s:o, s:s, s:b, s:n}", "conv_kernel",
                                    (json_int_t)(mamba->conv > 0 ? mamba->conv : 4), "use_conv_bias",
                                    mamba->conv_bias == HY_SWITCH_ON, "use_bias", (int)mamba->proj_bias,
                                    "time_step_limit", hy_hf_limits(mamba->step_low, mamba->step_high), "hidden_act",
                                    "silu", "use_cache", 1, "pad_token_id"));
    return json;
}

json_t *hy_hf_describe_bamba(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mamba = subject->own;
    const json_int_t expand = whole_expansion(subject);
    if (expand == 0)
        return NULL;
    json_t *json = describe_decoder(model, "bamba", "BambaForCausalLM", subject->softmax, 0.5, false);
    json_t *layers = json_array();
    for (int64_t l = 0; l < model->layers; l++)
        if (is_attention(model, l))
            json_array_append_new(layers, json_integer(l));
    hy_hf_fla_merge(json, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:o}", "attn_layer_indices", layers,
                                    "mamba_expand", expand, "mamba_n_heads", (json_int_t)mamba->value_heads,
                                    "mamba_d_head", (json_int_t)mamba->value_dim, "mamba_n_groups",
                                    (json_int_t)mamba->heads, "mamba_d_state", (json_int_t)mamba->head_dim,
                                    "mamba_d_conv", (json_int_t)(mamba->conv > 0 ? mamba->conv : 4), "mamba_conv_bias",
                                    mamba->conv_bias == HY_SWITCH_ON, "mamba_proj_bias", (int)mamba->proj_bias,
                                    "time_step_limit", hy_hf_limits(mamba->step_low, mamba->step_high)));
    return json;
}
