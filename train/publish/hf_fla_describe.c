/* The way out: softmax layers become the key `attn`, one spec for each different attention mixer. */
#include <math.h>
#include <string.h>

#include "train/publish/hf_fla.h"

double hy_hf_fla_expand(int64_t part, int64_t whole) {
    double x = (double)part / (double)whole;
    while (trunc((double)whole * x) < (double)part)
        x = nextafter(x, (double)INFINITY);
    return x;
}

double hy_hf_fla_base(const hy_mixer_config *softmax) {
    return softmax->rope_base > 0 ? softmax->rope_base : 10000;
}

bool hy_hf_fla_softmax_fits(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    for (int64_t l = 0; l < model->layers; l++) {
        const hy_mixer_config *mixer = &model->mixers[model->layer_mixer[l]];
        if (strcmp(mixer->kind, "attention") == 0 && model->width % mixer->heads != 0) {
            subject->why = "attention's heads do not divide model.width";
            return false;
        }
    }
    return true;
}

json_t *hy_hf_fla_size_or_null(int64_t n) {
    return n > 0 ? json_integer(n) : json_null();
}

static json_t *attn_spec(const hy_model_config *model, int mixer_index) {
    const hy_mixer_config *mixer = &model->mixers[mixer_index];
    json_t *layers = json_array();
    for (int64_t l = 0; l < model->layers; l++)
        if (model->layer_mixer[l] == mixer_index)
            json_array_append_new(layers, json_integer(l));
    if (json_array_size(layers) == 0) {
        json_decref(layers);
        return NULL;
    }
    return json_pack("{s:o, s:I, s:I, s:b, s:o, s:f}", "layers", layers, "num_heads", (json_int_t)mixer->heads,
                     "num_kv_heads", (json_int_t)mixer->kv_heads, "qkv_bias", (int)mixer->qkv_bias, "window_size",
                     hy_hf_fla_size_or_null(mixer->window), "rope_theta", hy_hf_fla_base(mixer));
}

/* null, one spec, or a list. */
json_t *hy_hf_fla_attn_value(const hy_model_config *model) {
    json_t *specs = json_array();
    for (int i = 0; i < (int)model->n_mixers; i++)
        if (strcmp(model->mixers[i].kind, "attention") == 0) {
            json_t *spec = attn_spec(model, i);
            if (spec)
                json_array_append_new(specs, spec);
        }
    json_t *value = specs;
    if (json_array_size(specs) < 2) {
        value = json_array_size(specs) == 0 ? json_null() : json_incref(json_array_get(specs, 0));
        json_decref(specs);
    }
    return value;
}

json_t *hy_hf_fla_describe_common(const hy_model_config *model, const char *type, const char *class, int ratio) {
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:b, s:f, s:f, s:i, s:o, s:s, s:b, s:b, s:b, s:b, s:o}", "model_type",
                     type, "architectures", class, "hidden_size", (json_int_t)model->width, "num_hidden_layers",
                     (json_int_t)model->layers, "vocab_size", (json_int_t)model->vocab, "tie_word_embeddings",
                     (int)model->tied, "norm_eps", model->norm_eps, "initializer_range", model->init_std,
                     "hidden_ratio", ratio, "intermediate_size", hy_hf_fla_size_or_null(model->mlp_width), "hidden_act",
                     "swish", "fuse_norm", 1, "fuse_swiglu", 1, "fuse_cross_entropy", 1, "use_cache", 1, "pad_token_id",
                     hy_hf_pad_token(model));
}

void hy_hf_fla_merge(json_t *object, json_t *more) {
    json_object_update(object, more);
    json_decref(more);
}

json_t *hy_hf_fla_describe_transformer(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, "transformer", "TransformerForCausalLM", 4);
    hy_hf_fla_merge(json, json_pack("{s:I, s:I, s:b, s:b, s:o, s:f}", "num_heads", (json_int_t)mixer->heads,
                                    "num_kv_heads", (json_int_t)mixer->kv_heads, "qkv_bias", (int)mixer->qkv_bias,
                                    "qk_norm", mixer->qk_norm == HY_QK_NORM_RMS_HEAD, "window_size",
                                    hy_hf_fla_size_or_null(mixer->window), "rope_theta", hy_hf_fla_base(mixer)));
    return json;
}

static json_t *feature_map_word(hy_feature_map map) {
    return map == HY_FEATURE_RELU ? json_string("relu") : map == HY_FEATURE_SILU ? json_string("silu") : json_null();
}

static json_t *describe_expanded(hy_hf_subject *subject, const char *type, const char *class, int ratio) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, type, class, ratio);
    hy_hf_fla_merge(json, json_pack("{s:I, s:I, s:f, s:f, s:b, s:I, s:b, s:o, s:o}", "num_heads",
                                    (json_int_t)mixer->heads, "num_kv_heads", (json_int_t)mixer->kv_heads, "expand_k",
                                    hy_hf_fla_expand(mixer->heads * mixer->head_dim, model->width), "expand_v",
                                    hy_hf_fla_expand(mixer->heads * mixer->value_dim, model->width), "use_short_conv",
                                    mixer->conv > 0, "conv_size", (json_int_t)(mixer->conv > 0 ? mixer->conv : 4),
                                    "use_output_gate", mixer->output_gate == HY_GATE_SWISH, "feature_map",
                                    feature_map_word(mixer->feature_map), "attn", hy_hf_fla_attn_value(model)));
    return json;
}

json_t *hy_hf_fla_describe_retnet(hy_hf_subject *subject) {
    return describe_expanded(subject, "retnet", "RetNetForCausalLM", 2);
}

json_t *hy_hf_fla_describe_gla(hy_hf_subject *subject) {
    json_t *json = describe_expanded(subject, "gla", "GLAForCausalLM", 4);
    if (json)
        json_object_set_new(json, "clamp_min", hy_hf_number_or_null(subject->own->gate_floor));
    return json;
}

json_t *hy_hf_fla_describe_delta_net(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    static const char *const acts[] = {[HY_FEATURE_IDENTITY] = "identity",
                                       [HY_FEATURE_RELU] = "relu",
                                       [HY_FEATURE_SILU] = "silu",
                                       [HY_FEATURE_ELU] = "elu"};
    const bool known = (size_t)mixer->feature_map < sizeof acts / sizeof acts[0] && acts[mixer->feature_map];
    const char *act = known ? acts[mixer->feature_map] : "silu";
    json_t *json = hy_hf_fla_describe_common(model, "delta_net", "DeltaNetForCausalLM", 4);
    hy_hf_fla_merge(json,
                    json_pack("{s:I, s:f, s:f, s:b, s:I, s:b, s:b, s:b, s:s, s:s, s:o}", "num_heads",
                              (json_int_t)mixer->heads, "expand_k",
                              hy_hf_fla_expand(mixer->heads * mixer->head_dim, model->width), "expand_v",
                              hy_hf_fla_expand(mixer->heads * mixer->value_dim, model->width), "use_short_conv",
                              mixer->conv > 0, "conv_size", (json_int_t)(mixer->conv > 0 ? mixer->conv : 4), "use_gate",
                              mixer->output_gate == HY_GATE_SWISH, "use_beta", (int)mixer->beta, "allow_neg_eigval",
                              (int)mixer->negative_eigenvalues, "qk_activation", act, "qk_norm",
                              mixer->qk_norm == HY_QK_NORM_SUM ? "sum" : "l2", "attn", hy_hf_fla_attn_value(model)));
    return json;
}

json_t *hy_hf_fla_describe_gated_deltanet(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, "gated_deltanet", "GatedDeltaNetForCausalLM", 4);
    hy_hf_fla_merge(
        json,
        json_pack("{s:I, s:I, s:I, s:f, s:b, s:I, s:b, s:b, s:s, s:o}", "num_heads", (json_int_t)mixer->heads,
                  "num_v_heads", (json_int_t)mixer->value_heads, "head_dim", (json_int_t)mixer->head_dim, "expand_v",
                  hy_hf_fla_expand(mixer->value_dim, mixer->head_dim), "use_short_conv", mixer->conv > 0, "conv_size",
                  (json_int_t)(mixer->conv > 0 ? mixer->conv : 4), "allow_neg_eigval", (int)mixer->negative_eigenvalues,
                  "use_gate", mixer->output_gate != HY_GATE_NONE, "output_gate_activation",
                  mixer->output_gate == HY_GATE_SIGMOID ? "sigmoid" : "swish", "attn", hy_hf_fla_attn_value(model)));
    return json;
}
