/* OLMo-Hybrid: gated delta rule layers with norms before mixer and MLP, softmax layers with norms after them, and RMSNorm of q and k
 * over the whole projection. Three forms of its files:
 *
 *   published  linear layers: attention_layer_norm, feedforward_layer_norm; softmax layers: post_attention_layernorm, post_feedforward_layernorm
 *   newer      linear layers: input_layernorm, post_attention_layernorm
 *   re-saved   as published, but softmax layers call post_attention_layernorm feedforward_layer_norm, and the filters of q, k, v, one
 *              after the other, are cut into three tensors of equal height */
#include <stdio.h>
#include <string.h>

#include "train/publish/hf_transformers.h"

static const hy_hf_key olmo_keys[] = {
    {"layer_types", HY_HF_USED, NULL},
    {"linear_a_log_max", HY_HF_HARMLESS, NULL}, /* these five: of initial values */
    {"linear_a_log_min", HY_HF_HARMLESS, NULL},
    {"linear_dt_init_floor", HY_HF_HARMLESS, NULL},
    {"linear_dt_max", HY_HF_HARMLESS, NULL},
    {"linear_dt_min", HY_HF_HARMLESS, NULL},
    {"linear_allow_neg_eigval", HY_HF_USED, NULL},
    {"linear_conv_kernel_dim", HY_HF_USED, NULL},
    {"linear_key_head_dim", HY_HF_USED, NULL},
    {"linear_num_key_heads", HY_HF_USED, NULL},
    {"linear_num_value_heads", HY_HF_USED, NULL},
    {"linear_value_head_dim", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_decoder class_defaults = {.vocab = 100352,
                                             .width = 3840,
                                             .mlp_width = 11008,
                                             .layers = 32,
                                             .heads = 30,
                                             .pad_token = 100277 + 1,
                                             .norm_eps = 1e-6,
                                             .rope_fraction = 1,
                                             .rope_optional = true};

typedef struct linear_sizes {
    int64_t keys, values, key_dim, value_dim; /* heads; channels of a head */
} linear_sizes;

static linear_sizes read_olmo_sizes(hy_hf_reader *reader) {
    linear_sizes s;
    int64_t width = hy_hf_size(reader, "hidden_size", class_defaults.width),
            heads = hy_hf_size(reader, "num_attention_heads", class_defaults.heads);
    s.keys = hy_hf_size(reader, "linear_num_key_heads", heads);
    s.values = hy_hf_size(reader, "linear_num_value_heads", heads);
    s.key_dim = hy_hf_size(reader, "linear_key_head_dim", (int64_t)(0.75 * (double)width / (double)s.keys));
    s.value_dim = hy_hf_size(reader, "linear_value_head_dim", 2 * s.key_dim);
    return s;
}

/* Without layer_types every fourth layer is full, and the last one if there are fewer than four. */
static bool layer_is_full(const json_t *config, int64_t layer) {
    hy_hf_reader reader = {"", "", config, HY_OK};
    int64_t layers = hy_hf_size(&reader, "num_hidden_layers", class_defaults.layers);
    bool listed = json_is_array(json_object_get(config, "layer_types"));
    return hy_hf_layer_is_full(config, layer) || (!listed && layers < 4 && layer == layers - 1);
}

static void read_olmo(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_decoder d = class_defaults;
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){olmo_keys, hy_hf_decoder_keys, hy_hf_common_keys, NULL});
    hy_hf_read_decoder(reader, &d, model);
    hy_mixer_config *linear = hy_hf_add_mixer(model, "gated_deltanet"), *full = hy_hf_read_softmax(reader, &d, model);
    linear_sizes s = read_olmo_sizes(reader);
    linear->heads = s.keys;
    linear->value_heads = s.values;
    linear->head_dim = s.key_dim;
    linear->value_dim = s.value_dim;
    linear->conv = hy_hf_size(reader, "linear_conv_kernel_dim", 4);
    linear->negative_eigenvalues = hy_hf_flag(reader, "linear_allow_neg_eigval", true);
    linear->norm_eps = 1e-5; /* whatever rms_norm_eps is */
    if (s.values % s.keys != 0)
        hy_hf_unsupported(reader, "linear_num_value_heads", "it must be a multiple of linear_num_key_heads");
    if (s.key_dim < 1)
        hy_hf_unsupported(reader, "linear_num_key_heads", "more heads than channels");
    full->qk_norm = HY_QK_NORM_RMS_ALL;
    full->norm_place = HY_NORM_POST;
    if (full->rope_fraction < 1)
        hy_hf_unsupported(reader, "partial_rotary_factor", "this family turns whole heads");
    hy_hf_read_layer_types(reader, model, "gated_deltanet");
    if (model->n_overrides == 0 && model->layers <= HY_LAYERS_MAX && layer_is_full(reader->object, model->layers - 1))
        hy_hf_override(model, model->layers - 1, "attention");
}

static const hy_hf_rename linear_names[] = {{".attn_norm.", ".attention_layer_norm."},
                                            {".mlp_norm.", ".feedforward_layer_norm."},
                                            {".attn.", ".linear_attn."},
                                            {NULL, NULL}};
static const hy_hf_rename newer_linear_names[] = {{".attn_norm.", ".input_layernorm."},
                                                  {".mlp_norm.", ".post_attention_layernorm."},
                                                  {".attn.", ".linear_attn."},
                                                  {NULL, NULL}};
static const hy_hf_rename other_names[] = {{"model.embeddings.", "model.embed_tokens."},
                                           {".attn_norm.", ".post_attention_layernorm."},
                                           {".mlp_norm.", ".post_feedforward_layernorm."},
                                           {".attn.", ".self_attn."},
                                           {NULL, NULL}};
static const hy_hf_rename resaved_other_names[] = {{"model.embeddings.", "model.embed_tokens."},
                                                   {".attn_norm.", ".feedforward_layer_norm."},
                                                   {".mlp_norm.", ".post_feedforward_layernorm."},
                                                   {".attn.", ".self_attn."},
                                                   {NULL, NULL}};

static int bind_named(const json_t *config, const hy_param *param, const hy_hf_rename *linear,
                      const hy_hf_rename *other, hy_hf_binding *out) {
    int64_t layer = hy_hf_param_layer(param->name);
    return hy_hf_bind_renamed(param, layer >= 0 && !layer_is_full(config, layer) ? linear : other, out);
}

static int bind_published(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    return bind_named(config, param, linear_names, other_names, out);
}

static int bind_newer(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    return bind_named(config, param, newer_linear_names, other_names, out);
}

/* `param` is rows first .. of the filters in a row; where it meets each third it has a binding. */
static int bind_thirds(const json_t *config, const hy_param *param, char part, hy_hf_binding *out) {
    hy_hf_reader reader = {"", "", config, HY_OK};
    linear_sizes s = read_olmo_sizes(&reader);
    int64_t keys = s.keys * s.key_dim, all = 2 * keys + s.values * s.value_dim, third = (all + 2) / 3;
    int64_t first = part == 'q' ? 0 : part == 'k' ? keys : 2 * keys, end = first + param->shape[0];
    int n = 0;
    for (int i = 0; i < 3; i++) {
        int64_t top = i * third, bottom = top + third < all ? top + third : all;
        int64_t from = first > top ? first : top, to = end < bottom ? end : bottom;
        if (from >= to)
            continue;
        char name[192];
        snprintf(name, sizeof name, "model.layers.%lld.linear_attn.%c_conv1d.weight",
                 (long long)hy_hf_param_layer(param->name), "qkv"[i]);
        hy_hf_bind_whole(param, name, &out[n]);
        out[n].shape[0] = bottom - top;
        out[n].block_rows = to - from;
        out[n].file_row = from - top;
        out[n].param_row = from - first;
        n++;
    }
    return n;
}

static int bind_resaved(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    const char *filter = strstr(param->name, "_conv1d.");
    return filter ? bind_thirds(config, param, filter[-1], out)
                  : bind_named(config, param, linear_names, resaved_other_names, out);
}

static const hy_hf_family newer = {.model_type = "olmo_hybrid", .read = read_olmo, .bind = bind_newer};
static const hy_hf_family resaved = {.model_type = "olmo_hybrid", .read = read_olmo, .bind = bind_resaved};

/* Softmax layers have the name feedforward_layer_norm only when re-saved, linear layers input_layernorm only when newer. */
static const hy_hf_family *olmo_form(const json_t *names) {
    const hy_hf_family *found = &hy_hf_olmo_hybrid;
    const char *name;
    json_t *type;
    json_object_foreach((json_t *)names, name, type) {
        size_t len = strlen(name), tail = strlen(".post_feedforward_layernorm.weight");
        if (strstr(name, ".input_layernorm."))
            return &newer;
        if (len > tail && len < 160 && strcmp(name + len - tail, ".post_feedforward_layernorm.weight") == 0) {
            char sibling[192];
            snprintf(sibling, sizeof sibling, "%.*s.feedforward_layer_norm.weight", (int)(len - tail), name);
            found = json_object_get(names, sibling) ? &resaved : found;
        }
    }
    return found;
}

const hy_hf_family hy_hf_olmo_hybrid = {.model_type = "olmo_hybrid",
                                        .kind = "gated_deltanet",
                                        .softmax = HY_HF_PAIR,
                                        .read = read_olmo,
                                        .bind = bind_published,
                                        .form = olmo_form,
                                        .describe = hy_hf_describe_olmo_hybrid};
