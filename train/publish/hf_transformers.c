#include "train/publish/hf_transformers.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const hy_hf_key hy_hf_decoder_keys[] = {
    {"attention_bias", HY_HF_ONLY, "[false]"},
    {"attention_dropout", HY_HF_ONLY, "[0, 0.0, null]"},
    {"head_dim", HY_HF_USED, NULL},
    {"hidden_act", HY_HF_ONLY, "[\"silu\", \"swish\"]"},
    {"hidden_size", HY_HF_USED, NULL},
    {"initializer_range", HY_HF_USED, NULL},
    {"intermediate_size", HY_HF_USED, NULL},
    {"mlp_bias", HY_HF_ONLY, "[false]"},
    {"num_attention_heads", HY_HF_USED, NULL},
    {"num_hidden_layers", HY_HF_USED, NULL},
    {"num_key_value_heads", HY_HF_USED, NULL},
    {"partial_rotary_factor", HY_HF_USED, NULL},
    {"pretraining_tp", HY_HF_HARMLESS, NULL}, /* how products are cut */
    {"rms_norm_eps", HY_HF_USED, NULL},
    {"rope_parameters", HY_HF_USED, NULL},
    {"rope_scaling", HY_HF_USED, NULL},
    {"rope_theta", HY_HF_USED, NULL},
    {"tie_word_embeddings", HY_HF_USED, NULL},
    {"vocab_size", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

double hy_hf_share(hy_hf_reader *reader, const char *key, double absent) {
    double x = hy_hf_real(reader, key, absent);
    if (!(x >= 0 && x <= 1))
        hy_hf_unsupported(reader, key, "it must be from 0 to 1");
    return x;
}

void hy_hf_read_decoder(hy_hf_reader *reader, hy_hf_decoder *d, hy_model_config *model) {
    model->vocab = d->vocab = hy_hf_size(reader, "vocab_size", d->vocab);
    hy_hf_read_pad_token(reader, model, d->pad_token - 1);
    model->width = d->width = hy_hf_size(reader, "hidden_size", d->width);
    model->mlp_width = d->mlp_width = hy_hf_size(reader, "intermediate_size", d->mlp_width);
    model->layers = d->layers = hy_hf_size(reader, "num_hidden_layers", d->layers);
    model->norm_eps = d->norm_eps = hy_hf_share(reader, "rms_norm_eps", d->norm_eps);
    model->tied = hy_hf_flag(reader, "tie_word_embeddings", false);
    model->init_std = hy_hf_share(reader, "initializer_range", 0.02);
    d->heads = hy_hf_size(reader, "num_attention_heads", d->heads);
    bool as_heads = d->kv_heads == 0 || json_is_null(json_object_get(reader->object, "num_key_value_heads"));
    d->kv_heads = hy_hf_size(reader, "num_key_value_heads", as_heads ? d->heads : d->kv_heads);
    d->head_dim = hy_hf_size(reader, "head_dim", d->head_dim > 0 ? d->head_dim : d->width / d->heads);
    if (d->heads % d->kv_heads != 0)
        hy_hf_unsupported(reader, "num_key_value_heads", "it must divide num_attention_heads");
    if (d->head_dim < 1)
        hy_hf_unsupported(reader, "num_attention_heads", "more heads than channels");
}

hy_mixer_config *hy_hf_add_mixer(hy_model_config *model, const char *kind) {
    assert(model->n_mixers < HY_MIXERS_MAX);
    hy_mixer_config *mixer = &model->mixers[model->n_mixers++];
    hy_mixer_config_init(mixer, kind);
    return mixer;
}

/* Since version 5 the base and the factor are in rope_parameters, before it at top level, where rope_scaling could hold other types;
 * the section's values come first. */
static void read_rope(hy_hf_reader *reader, const hy_hf_decoder *d, hy_mixer_config *mixer) {
    static const hy_hf_key section_keys[] = {
        {"mrope_interleaved", HY_HF_HARMLESS,
         NULL}, /* how the three positions of an image share channels: equal for text */
        {"mrope_section", HY_HF_HARMLESS, NULL},
        {"partial_rotary_factor", HY_HF_USED, NULL},
        {"rope_theta", HY_HF_USED, NULL},
        {"rope_type", HY_HF_ONLY, "[\"default\", null]"},
        {"type", HY_HF_ONLY, "[\"default\", null]"},
        {NULL, HY_HF_HARMLESS, NULL},
    };
    bool older = json_object_size(json_object_get(reader->object, "rope_scaling")) > 0;
    const char *name = older ? "rope_scaling" : "rope_parameters";
    const json_t *object = json_object_get(reader->object, name);
    hy_hf_reader section = {reader->file, older ? "rope_scaling." : "rope_parameters.", object, HY_OK};
    if (object && !json_is_null(object) && !json_is_object(object))
        hy_hf_unsupported(reader, name, "wanted an object");
    if (json_is_object(object))
        hy_hf_check_keys(&section, (const hy_hf_key *const[]){section_keys, NULL});
    hy_hf_reader *at = json_object_get(object, "rope_theta") ? &section : reader;
    const json_t *base = json_object_get(at->object, "rope_theta");
    mixer->rope_base = hy_hf_real(at, "rope_theta", base && d->rope_optional ? 0 : 10000);
    if (!isfinite(mixer->rope_base) || mixer->rope_base < 0 || (json_is_null(base) && !d->rope_optional) ||
        (mixer->rope_base <= 0 && !json_is_null(base)))
        hy_hf_unsupported(at, "rope_theta", "the base of rotary positions must be positive");
    at = json_object_get(object, "partial_rotary_factor") ? &section : reader;
    mixer->rope_fraction = hy_hf_share(at, "partial_rotary_factor", d->rope_fraction);
    if (reader->status == HY_OK)
        reader->status = section.status;
}

hy_mixer_config *hy_hf_read_softmax(hy_hf_reader *reader, const hy_hf_decoder *d, hy_model_config *model) {
    hy_mixer_config *mixer = hy_hf_add_mixer(model, "attention");
    mixer->heads = d->heads;
    mixer->kv_heads = d->kv_heads;
    mixer->head_dim = d->head_dim;
    mixer->qk_norm_eps = d->norm_eps;
    read_rope(reader, d, mixer);
    return mixer;
}

bool hy_hf_layer_is_full(const json_t *config, int64_t layer) {
    const json_t *types = json_object_get(config, "layer_types");
    if (!json_is_array(types))
        return (layer + 1) % hy_hf_size(&(hy_hf_reader){.object = config}, "full_attention_interval", 4) == 0;
    const char *type = json_string_value(json_array_get(types, (size_t)layer));
    return type && strcmp(type, "full_attention") == 0;
}

void hy_hf_override(hy_model_config *model, int64_t layer, const char *mixer) {
    if (model->n_overrides == HY_LAYERS_MAX)
        return; /* more layers than any model may have: resolving it says so */
    model->overrides[model->n_overrides].layer = layer;
    snprintf(model->overrides[model->n_overrides++].mixer, HY_NAME_MAX, "%s", mixer);
}

void hy_hf_read_layer_types(hy_hf_reader *reader, hy_model_config *model, const char *linear) {
    const json_t *types = json_object_get(reader->object, "layer_types"), *type;
    size_t i;
    hy_hf_size(reader, "full_attention_interval", 4); /* complains if it is none */
    if (types && !json_is_null(types) && (!json_is_array(types) || (int64_t)json_array_size(types) != model->layers))
        hy_hf_unsupported(reader, "layer_types", "wanted a list with a word for each layer");
    json_array_foreach(types, i, type) {
        const char *word = json_string_value(type);
        if (!word || (strcmp(word, "full_attention") != 0 && strcmp(word, "linear_attention") != 0))
            hy_hf_unsupported(reader, "layer_types", "only \"linear_attention\" and \"full_attention\"");
    }
    model->n_pattern = 1;
    snprintf(model->pattern[0], HY_NAME_MAX, "%s", linear);
    for (int64_t l = 0; l < model->layers && reader->status == HY_OK && l < HY_LAYERS_MAX; l++)
        if (hy_hf_layer_is_full(reader->object, l))
            hy_hf_override(model, l, "attention");
}

int64_t hy_hf_param_layer(const char *name) {
    static const char prefix[] = "model.layers.";
    return strncmp(name, prefix, sizeof prefix - 1) == 0 ? strtol(name + sizeof prefix - 1, NULL, 10) : -1;
}
