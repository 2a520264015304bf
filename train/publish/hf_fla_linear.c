/* Linear attention with feature maps: flash-linear-attention's linear_attn, and its layers based and rebased, for which the library has no
 * model: they stand in its usual block under keys of the same names. */
#include <math.h>
#include <string.h>

#include "train/publish/hf_fla.h"

static const hy_hf_key linear_keys[] = {
    {"attn", HY_HF_USED, NULL},
    {"expand_k", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},
    {"feature_map", HY_HF_USED, NULL},
    {"norm_k", HY_HF_USED, NULL},
    {"norm_q", HY_HF_USED, NULL},
    {"norm_feature_map", HY_HF_USED, NULL},
    {"num_kv_heads", HY_HF_USED, NULL},
    {"tie_feature_map_qk", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key based_keys[] = {
    {"attn", HY_HF_USED, NULL}, {"feature_dim", HY_HF_USED, NULL}, {NULL, HY_HF_HARMLESS, NULL}};

static const struct {
    const char *word;
    hy_feature_map map;
} maps[] = {{"elementwise_product", HY_FEATURE_PRODUCT},
            {"hedgehog", HY_FEATURE_HEDGEHOG},
            {"t2r", HY_FEATURE_T2R},
            {"dpfp", HY_FEATURE_DPFP},
            {"elu", HY_FEATURE_ELU},
            {"relu", HY_FEATURE_RELU},
            {"identity", HY_FEATURE_IDENTITY}};
enum { N_MAPS = sizeof maps / sizeof maps[0] };

/* This layer rounds where the library's others cut off, and wants the product to be whole. */
static int64_t whole_channels(hy_hf_reader *reader, const char *key, int64_t width, int64_t heads) {
    double expand = hy_hf_real(reader, key, 1), channels = (double)width * expand;
    if (!(fabs(channels - round(channels)) <= 1e-9 * fabs(channels)))
        hy_hf_unsupported(reader, key, "hidden_size times it must be whole");
    return hy_hf_fla_channels(reader, key, (round(channels) + 0.25) / (double)width, width, heads);
}

static void read_linear(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){linear_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "linear", 4, 24, 4);
    const char *word = hy_hf_word(reader, "feature_map", "elementwise_product");
    int i = 0;
    while (i < N_MAPS && strcmp(maps[i].word, word) != 0)
        i++;
    if (i == N_MAPS)
        hy_hf_unsupported(reader, "feature_map", "no such feature map");
    else
        mixer->feature_map = maps[i].map;
    mixer->kv_heads = hy_hf_size(reader, "num_kv_heads", mixer->heads);
    if (mixer->heads % mixer->kv_heads != 0)
        hy_hf_unsupported(reader, "num_kv_heads", "it must divide num_heads");
    mixer->head_dim = whole_channels(reader, "expand_k", model->width, mixer->heads);
    mixer->value_dim = whole_channels(reader, "expand_v", model->width, mixer->heads);
    mixer->tie_feature_maps = hy_hf_flag(reader, "tie_feature_map_qk", false);
    mixer->normaliser = hy_hf_flag(reader, "norm_feature_map", false) ? HY_SWITCH_ON : HY_SWITCH_OFF;
    bool q = hy_hf_flag(reader, "norm_q", false), k = hy_hf_flag(reader, "norm_k", false);
    mixer->feature_norm = q && k ? HY_FEATURE_NORM_BOTH
                          : q    ? HY_FEATURE_NORM_Q
                          : k    ? HY_FEATURE_NORM_K
                                 : HY_FEATURE_NORM_NONE;
    hy_hf_fla_read_attn(reader, model);
}

static json_t *describe_fla_linear(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    int i = 0;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    while (i < N_MAPS - 1 && maps[i].map != mixer->feature_map)
        i++;
    bool q = mixer->feature_norm == HY_FEATURE_NORM_Q || mixer->feature_norm == HY_FEATURE_NORM_BOTH;
    bool k = mixer->feature_norm == HY_FEATURE_NORM_K || mixer->feature_norm == HY_FEATURE_NORM_BOTH;
    json_t *json = hy_hf_fla_describe_common(model, "linear_attn", "LinearAttentionForCausalLM", 4);
    hy_hf_fla_merge(json, json_pack("{s:I, s:I, s:f, s:f, s:s, s:b, s:b, s:b, s:b, s:o}", "num_heads",
                                    (json_int_t)mixer->heads, "num_kv_heads", (json_int_t)mixer->kv_heads, "expand_k",
                                    hy_hf_fla_expand(mixer->heads * mixer->head_dim, model->width), "expand_v",
                                    hy_hf_fla_expand(mixer->heads * mixer->value_dim, model->width), "feature_map",
                                    maps[i].word, "tie_feature_map_qk", (int)mixer->tie_feature_maps,
                                    "norm_feature_map", mixer->normaliser == HY_SWITCH_ON, "norm_q", (int)q, "norm_k",
                                    (int)k, "attn", hy_hf_fla_attn_value(model)));
    return json;
}

/* ---- a tied feature map may be stored under q's name, which is ours, under k's, or under both ---- */

static const char *const q_name = ".attn.feature_map_q.", *const k_name = ".attn.feature_map_k.";

static int bind_k(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    (void)config;
    return hy_hf_bind_renamed(param, (const hy_hf_rename[]){{q_name, k_name}, {NULL, NULL}}, out);
}

static int bind_both(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    bool tied = json_is_true(json_object_get(config, "tie_feature_map_qk")) && strstr(param->name, q_name);
    hy_hf_bind_whole(param, param->name, out);
    return 1 + (tied ? bind_k(config, param, out + 1) : 0);
}

static const hy_hf_family stored_k = {
    .model_type = "linear_attn", .read = read_linear, .bind = bind_k, .skip = hy_hf_fla_skip};
static const hy_hf_family stored_both = {
    .model_type = "linear_attn", .read = read_linear, .bind = bind_both, .skip = hy_hf_fla_skip};

static const hy_hf_family *linear_form(const json_t *names) {
    const char *name;
    json_t *value;
    bool q = false, k = false;
    json_object_foreach((json_t *)names, name, value) {
        q = q || strstr(name, q_name);
        k = k || strstr(name, k_name);
    }
    return k ? q ? &stored_both : &stored_k : &hy_hf_fla_linear_attn;
}

const hy_hf_family hy_hf_fla_linear_attn = {.model_type = "linear_attn",
                                            .kind = "linear",
                                            .softmax = HY_HF_ANY,
                                            .read = read_linear,
                                            .bind = hy_hf_fla_bind_same,
                                            .skip = hy_hf_fla_skip,
                                            .describe = describe_fla_linear,
                                            .form = linear_form};

/* ---- based, rebased ---- */

static void read_expansion(hy_hf_reader *reader, hy_model_config *model, const char *kind, int64_t heads) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){based_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, kind, 4, 24, heads);
    mixer->head_dim = hy_hf_size(reader, "feature_dim", 16);
    mixer->value_dim = model->width / mixer->heads;
    if (mixer->value_dim < 1)
        hy_hf_unsupported(reader, "num_heads", "more heads than channels");
    hy_hf_fla_read_attn(reader, model);
}

static void read_based(hy_hf_reader *reader, hy_model_config *model) {
    read_expansion(reader, model, "based", 12);
}

static void read_rebased(hy_hf_reader *reader, hy_model_config *model) {
    read_expansion(reader, model, "rebased", 16);
}

static json_t *describe_expansion(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, mixer->kind, "", 4);
    json_object_set_new(json, "architectures", json_null()); /* the library has none */
    hy_hf_fla_merge(json, json_pack("{s:I, s:I, s:o}", "num_heads", (json_int_t)mixer->heads, "feature_dim",
                                    (json_int_t)mixer->head_dim, "attn", hy_hf_fla_attn_value(model)));
    return json;
}

const hy_hf_family hy_hf_fla_based = {.model_type = "based",
                                      .kind = "based",
                                      .softmax = HY_HF_ANY,
                                      .read = read_based,
                                      .bind = hy_hf_fla_bind_same,
                                      .skip = hy_hf_fla_skip,
                                      .describe = describe_expansion};
const hy_hf_family hy_hf_fla_rebased = {.model_type = "rebased",
                                        .kind = "rebased",
                                        .softmax = HY_HF_ANY,
                                        .read = read_rebased,
                                        .bind = hy_hf_fla_bind_same,
                                        .skip = hy_hf_fla_skip,
                                        .describe = describe_expansion};
