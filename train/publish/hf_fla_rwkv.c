/* flash-linear-attention's models rwkv6 and rwkv7: LayerNorm blocks whose MLP looks at the token before, too. Older files of rwkv7 hold
 * the six mixtures of a layer in one tensor x_x [6,width]. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "train/publish/hf_fla.h"

static const hy_hf_key rwkv_keys[] = {
    {"attn", HY_HF_USED, NULL},
    {"gate_low_rank_dim", HY_HF_USED, NULL},
    {"hidden_act", HY_HF_ONLY, "[\"sqrelu\"]"},
    {"norm_bias", HY_HF_USED, NULL},
    {"norm_first", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key rwkv6_keys[] = {
    {"expand_k", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},
    {"proj_low_rank_dim", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key rwkv7_keys[] = {
    {"a_low_rank_dim", HY_HF_USED, NULL}, {"decay_low_rank_dim", HY_HF_USED, NULL}, {"head_dim", HY_HF_USED, NULL},
    {"v_low_rank_dim", HY_HF_USED, NULL}, {"value_dim", HY_HF_USED, NULL},          {NULL, HY_HF_HARMLESS, NULL},
};

static hy_mixer_config *read_rwkv(hy_hf_reader *reader, hy_model_config *model, const char *kind, double hidden_ratio,
                                  const hy_hf_key *keys) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){rwkv_keys, keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, kind, hidden_ratio, 24, 4);
    model->norm_eps = mixer->norm_eps = hy_hf_real(reader, "norm_eps", 1e-5);
    model->norm = HY_NORM_LAYER;
    model->norm_bias = hy_hf_flag(reader, "norm_bias", true);
    model->pre_norm = hy_hf_flag(reader, "norm_first", true);
    snprintf(model->mlp_kind, sizeof model->mlp_kind, "%s", kind);
    hy_hf_fla_read_attn(reader, model);
    return mixer;
}

static void read_rwkv6(hy_hf_reader *reader, hy_model_config *model) {
    hy_mixer_config *mixer = read_rwkv(reader, model, "rwkv6", 3.5, rwkv6_keys);
    mixer->head_dim =
        hy_hf_fla_channels(reader, "expand_k", hy_hf_real(reader, "expand_k", 0.5), model->width, mixer->heads);
    mixer->value_dim =
        hy_hf_fla_channels(reader, "expand_v", hy_hf_real(reader, "expand_v", 1), model->width, mixer->heads);
    mixer->mix_rank = hy_hf_size(reader, "proj_low_rank_dim", 32);
    mixer->gate_rank = hy_hf_size(reader, "gate_low_rank_dim", 64);
    if (json_is_null(json_object_get(reader->object, "gate_low_rank_dim")))
        hy_hf_unsupported(reader, "gate_low_rank_dim", "decays of full rank");
}

/* One width for all layers: all add a share of the first layer's values. */
static int64_t read_value_dim(hy_hf_reader *reader, const hy_model_config *model) {
    const json_t *value = json_object_get(reader->object, "value_dim"), *layer;
    int64_t dim = json_is_array(value) ? json_integer_value(json_array_get(value, 0))
                                       : hy_hf_size(reader, "value_dim", model->width);
    size_t l;
    if (json_is_array(value) && json_array_size(value) != (size_t)model->layers)
        hy_hf_unsupported(reader, "value_dim", "one number for each layer");
    json_array_foreach(value, l, layer) if (json_integer_value(layer) != dim)
        hy_hf_unsupported(reader, "value_dim", "all layers must have the same, which the value residual adds up");
    if (dim < 1 || dim > INT32_MAX || dim % model->width != 0)
        hy_hf_unsupported(reader, "value_dim", "it must be a multiple of hidden_size");
    return dim;
}

/* A rank; HY_DEFAULT, the mixer's own rule, if it is null. */
static int64_t read_rank(hy_hf_reader *reader, const char *key, int64_t absent) {
    return json_is_null(json_object_get(reader->object, key)) ? HY_DEFAULT : hy_hf_size(reader, key, absent);
}

static void read_rwkv7(hy_hf_reader *reader, hy_model_config *model) {
    hy_mixer_config *mixer = read_rwkv(reader, model, "rwkv7", 4, rwkv7_keys);
    bool by_heads = json_is_null(json_object_get(reader->object, "head_dim"));
    int64_t K = by_heads ? model->width / hy_hf_size(reader, "num_heads", -1) : hy_hf_size(reader, "head_dim", 64);
    if (K < 1 || model->width % K != 0) {
        hy_hf_unsupported(reader, by_heads ? "num_heads" : "head_dim", "hidden_size must divide into its heads");
        return;
    }
    mixer->head_dim = K;
    mixer->heads = model->width / K;
    mixer->value_dim = read_value_dim(reader, model) / mixer->heads;
    mixer->gate_rank = read_rank(reader, "decay_low_rank_dim", 64);
    mixer->output_rank = read_rank(reader, "gate_low_rank_dim", 128);
    mixer->rate_rank = read_rank(reader, "a_low_rank_dim", 64);
    mixer->value_rank = read_rank(reader, "v_low_rank_dim", 16);
    mixer->norm_eps = (double)K * model->norm_eps;
    /* Not fused, it divides by max(norm, 1e-12). */
    mixer->key_norm_eps = hy_hf_flag(reader, "fuse_norm", true) ? 1e-6 : 1e-24;
    for (int64_t o = 0; o < model->n_overrides; o++)
        if (model->overrides[o].layer == 0)
            hy_hf_unsupported(reader, "attn", "layer 0 must be rwkv7's: the others take its values");
    if (!json_object_get(reader->object, "use_l2warp"))
        hy_warn("%s: use_l2warp is absent, which that library takes for true: training here goes on without that "
                "penalty on logits",
                reader->file);
}

/* Older files: row i of x_x is x_<letter i>. */
static int bind_joined(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    const char *at = strstr(param->name, ".attn.x_"), *letters = "rwkvag", *letter = at ? strchr(letters, at[8]) : NULL;
    if (!letter || !*letter || at[9])
        return hy_hf_fla_bind_same(config, param, out);
    *out = (hy_hf_binding){
        .n_dims = 2, .shape = {6, param->shape[2]}, .n_blocks = 1, .block_rows = 1, .file_row = letter - letters};
    snprintf(out->name, sizeof out->name, "%.*s.attn.x_x", (int)(at - param->name), param->name);
    return 1;
}

static const hy_hf_family joined = {.model_type = "rwkv7", .bind = bind_joined, .skip = hy_hf_fla_skip};

static const hy_hf_family *rwkv_form(const json_t *names) {
    const char *name;
    json_t *type;
    json_object_foreach((json_t *)names, name, type) {
        size_t len = strlen(name);
        if (len > 9 && strcmp(name + len - 9, ".attn.x_x") == 0)
            return &joined;
    }
    return &hy_hf_fla_rwkv7;
}

static json_t *describe_rwkv(hy_hf_subject *subject, const char *type, const char *class) {
    const hy_model_config *model = subject->model;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, type, class, 4);
    hy_hf_fla_merge(json, json_pack("{s:s, s:b, s:b, s:b, s:o}", "hidden_act", "sqrelu", "norm_bias",
                                    (int)model->norm_bias, "norm_first", (int)model->pre_norm, "use_l2warp", 0, "attn",
                                    hy_hf_fla_attn_value(model)));
    return json;
}

static json_t *describe_rwkv6(hy_hf_subject *subject) {
    const hy_mixer_config *mixer = subject->own;
    const int64_t width = subject->model->width;
    json_t *json = describe_rwkv(subject, "rwkv6", "RWKV6ForCausalLM");
    if (!json)
        return NULL;
    hy_hf_fla_merge(json, json_pack("{s:I, s:f, s:f, s:I, s:I}", "num_heads", (json_int_t)mixer->heads, "expand_k",
                                    hy_hf_fla_expand(mixer->heads * mixer->head_dim, width), "expand_v",
                                    hy_hf_fla_expand(mixer->heads * mixer->value_dim, width), "proj_low_rank_dim",
                                    (json_int_t)mixer->mix_rank, "gate_low_rank_dim", (json_int_t)mixer->gate_rank));
    return json;
}

static json_t *describe_rwkv7(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (&model->mixers[model->layer_mixer[0]] != mixer)
        subject->why = "layer 0 must be rwkv7's: the others take its values";
    else if (mixer->heads * mixer->head_dim != model->width || mixer->heads * mixer->value_dim % model->width != 0)
        subject->why = "heads times head_dim of rwkv7 must be model.width, and times value_dim a multiple of it";
    json_t *json = subject->why ? NULL : describe_rwkv(subject, "rwkv7", "RWKV7ForCausalLM");
    if (!json)
        return NULL;
    json_t *values = json_array();
    for (int64_t l = 0; l < model->layers; l++)
        json_array_append_new(values, json_integer(mixer->heads * mixer->value_dim));
    hy_hf_fla_merge(json, json_pack("{s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:b}", "num_heads", (json_int_t)mixer->heads,
                                    "head_dim", (json_int_t)mixer->head_dim, "value_dim", values, "decay_low_rank_dim",
                                    (json_int_t)mixer->gate_rank, "gate_low_rank_dim", (json_int_t)mixer->output_rank,
                                    "a_low_rank_dim", (json_int_t)mixer->rate_rank, "v_low_rank_dim",
                                    (json_int_t)mixer->value_rank, "fuse_norm", mixer->key_norm_eps >= 1e-6));
    return json;
}

const hy_hf_family hy_hf_fla_rwkv6 = {.model_type = "rwkv6",
                                      .kind = "rwkv6",
                                      .softmax = HY_HF_ANY,
                                      .read = read_rwkv6,
                                      .bind = hy_hf_fla_bind_same,
                                      .skip = hy_hf_fla_skip,
                                      .describe = describe_rwkv6};
const hy_hf_family hy_hf_fla_rwkv7 = {.model_type = "rwkv7",
                                      .kind = "rwkv7",
                                      .softmax = HY_HF_ANY,
                                      .read = read_rwkv7,
                                      .bind = hy_hf_fla_bind_same,
                                      .skip = hy_hf_fla_skip,
                                      .describe = describe_rwkv7,
                                      .form = rwkv_form};
