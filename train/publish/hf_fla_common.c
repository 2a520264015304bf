/* What the families of flash-linear-attention share: keys, the key `attn` that gives some layers to softmax attention (one spec, or a list of
 * them), names of tensors. Defaults are those of the library's config classes: keys may be missing from a published config.json. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "train/publish/hf_fla.h"

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

static const hy_hf_key attn_keys[] = {
    {"layers", HY_HF_USED, NULL},   {"num_heads", HY_HF_USED, NULL},   {"num_kv_heads", HY_HF_USED, NULL},
    {"qkv_bias", HY_HF_USED, NULL}, {"window_size", HY_HF_USED, NULL}, {"rope_theta", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

/* width·expand channels over `heads` heads. */
int64_t hy_hf_fla_channels(hy_hf_reader *reader, const char *key, double expand, int64_t width, int64_t heads) {
    double channels = trunc((double)width * expand);
    if (!(channels >= 1 && channels <= INT32_MAX) || (int64_t)channels % heads != 0) {
        hy_hf_unsupported(reader, key, "hidden_size times it must divide into the heads");
        return 1;
    }
    return (int64_t)channels / heads;
}

hy_mixer_config *hy_hf_fla_add_mixer(hy_hf_reader *reader, hy_model_config *model, const char *name, const char *kind) {
    if (model->n_mixers == HY_MIXERS_MAX) {
        hy_hf_unsupported(reader, "attn", "too many different specs");
        return NULL;
    }
    hy_mixer_config *mixer = &model->mixers[model->n_mixers++];
    hy_mixer_config_init(mixer, name);
    snprintf(mixer->kind, sizeof mixer->kind, "%s", kind);
    return mixer;
}

hy_mixer_config *hy_hf_fla_read_common(hy_hf_reader *reader, hy_model_config *model, const char *kind,
                                       double hidden_ratio, int64_t layers, int64_t heads) {
    model->width = hy_hf_size(reader, "hidden_size", 2048);
    model->layers = hy_hf_size(reader, "num_hidden_layers", layers);
    model->vocab = hy_hf_size(reader, "vocab_size", 32000);
    model->tied = hy_hf_flag(reader, "tie_word_embeddings", false);
    hy_hf_read_pad_token(reader, model, -1);
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
    hy_mixer_config *mixer = hy_hf_fla_add_mixer(reader, model, kind, kind);
    mixer->heads = hy_hf_size(reader, "num_heads", heads);
    mixer->norm_eps = model->norm_eps;
    return mixer;
}

void hy_hf_fla_read_softmax(hy_hf_reader *reader, const hy_model_config *model, hy_mixer_config *mixer, int64_t heads) {
    mixer->heads = hy_hf_size(reader, "num_heads", heads);
    mixer->kv_heads = hy_hf_size(reader, "num_kv_heads", mixer->heads);
    mixer->head_dim = hy_hf_fla_channels(reader, "num_heads", 1, model->width, mixer->heads);
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
    hy_mixer_config *mixer = hy_hf_fla_add_mixer(outer, model, name, "attention");
    if (mixer)
        hy_hf_fla_read_softmax(&reader, model, mixer, -1);
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
            hy_warn("%s: attn.layers names a layer that the model of %lld layers does not have", outer->file,
                    (long long)model->layers);
        } else if (model->n_overrides < HY_LAYERS_MAX) {
            model->overrides[model->n_overrides].layer = l;
            snprintf(model->overrides[model->n_overrides++].mixer, HY_NAME_MAX, "%s", name);
        }
    }
    if (outer->status == HY_OK)
        outer->status = reader.status;
}

void hy_hf_fla_read_attn(hy_hf_reader *reader, hy_model_config *model) {
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

int hy_hf_fla_bind_same(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    (void)config;
    hy_hf_bind_whole(param, param->name, out);
    return 1;
}

const char *const hy_hf_fla_skip[] = {"*.rotary.inv_freq", NULL};
