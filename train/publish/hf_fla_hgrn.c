/* flash-linear-attention's models hgrn and hgrn2. Their lower bounds are one parameter of the model, not of a layer. */
#include "train/publish/hf_fla.h"

static const hy_hf_key hgrn_keys[] = {
    {"attn", HY_HF_USED, NULL},           {"conv_size", HY_HF_USED, NULL},
    {"expand_ratio", HY_HF_USED, NULL},   {"use_lower_bound", HY_HF_USED, NULL},
    {"use_short_conv", HY_HF_USED, NULL}, {NULL, HY_HF_HARMLESS, NULL},
};

static hy_mixer_config *read_either(hy_hf_reader *reader, hy_model_config *model, const char *kind) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){hgrn_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, kind, 4, 24, 1);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", false) ? hy_hf_size(reader, "conv_size", 4) : 0;
    mixer->lower_bounds = hy_hf_flag(reader, "use_lower_bound", true);
    hy_hf_fla_read_attn(reader, model);
    return mixer;
}

static void read_hgrn(hy_hf_reader *reader, hy_model_config *model) {
    hy_mixer_config *mixer = read_either(reader, model, "hgrn");
    mixer->heads = mixer->head_dim = 1;
    mixer->value_dim =
        hy_hf_fla_channels(reader, "expand_ratio", hy_hf_real(reader, "expand_ratio", 1), model->width, 1);
    if (mixer->lower_bounds && mixer->value_dim != model->width)
        hy_hf_unsupported(reader, "expand_ratio", "lower bounds are for hidden_size channels: it must be 1");
}

/* expand_ratio says how many heads there are; num_heads counts only if it is null. */
static void read_hgrn2(hy_hf_reader *reader, hy_model_config *model) {
    hy_mixer_config *mixer = read_either(reader, model, "hgrn2");
    bool by_heads = json_is_null(json_object_get(reader->object, "expand_ratio"));
    int64_t heads = by_heads ? hy_hf_size(reader, "num_heads", -1) : 1;
    mixer->head_dim = by_heads ? model->width / heads : hy_hf_size(reader, "expand_ratio", 128);
    mixer->heads = mixer->head_dim > 0 ? model->width / mixer->head_dim : 0;
    if (by_heads)
        mixer->heads = heads;
    if (mixer->heads < 1 || mixer->head_dim < 1 || model->width % mixer->heads != 0) {
        hy_hf_unsupported(reader, by_heads ? "num_heads" : "expand_ratio", "hidden_size must divide into its heads");
        return;
    }
    mixer->value_dim = model->width / mixer->heads;
    mixer->norm_eps = 1e-5; /* whatever the config says */
    if (mixer->lower_bounds && mixer->heads * mixer->head_dim != model->width)
        hy_hf_unsupported(reader, "expand_ratio",
                          "lower bounds are for hidden_size channels: it must divide hidden_size");
}

static json_t *describe_either(hy_hf_subject *subject, const char *type, const char *class) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, type, class, 4);
    hy_hf_fla_merge(json,
                    json_pack("{s:b, s:b, s:I, s:o}", "use_lower_bound", (int)mixer->lower_bounds, "use_short_conv",
                              mixer->conv > 0, "conv_size", (json_int_t)(mixer->conv > 0 ? mixer->conv : 4), "attn",
                              hy_hf_fla_attn_value(model)));
    return json;
}

static json_t *describe_hgrn(hy_hf_subject *subject) {
    json_t *json = describe_either(subject, "hgrn", "HGRNForCausalLM");
    if (json)
        json_object_set_new(json, "expand_ratio",
                            hy_hf_number(hy_hf_fla_expand(subject->own->value_dim, subject->model->width)));
    return json;
}

static json_t *describe_hgrn2(hy_hf_subject *subject) {
    const hy_mixer_config *mixer = subject->own;
    if (mixer->heads * mixer->head_dim != subject->model->width) {
        subject->why = "heads times head_dim of hgrn2 are not model.width";
        return NULL;
    }
    json_t *json = describe_either(subject, "hgrn2", "HGRN2ForCausalLM");
    if (json) {
        json_object_set_new(json, "num_heads", json_integer(mixer->heads));
        json_object_set_new(json, "expand_ratio", json_integer(mixer->head_dim));
    }
    return json;
}

const hy_hf_family hy_hf_fla_hgrn = {.model_type = "hgrn",
                                     .kind = "hgrn",
                                     .softmax = HY_HF_ANY,
                                     .read = read_hgrn,
                                     .bind = hy_hf_fla_bind_same,
                                     .skip = hy_hf_fla_skip,
                                     .describe = describe_hgrn};
const hy_hf_family hy_hf_fla_hgrn2 = {.model_type = "hgrn2",
                                      .kind = "hgrn2",
                                      .softmax = HY_HF_ANY,
                                      .read = read_hgrn2,
                                      .bind = hy_hf_fla_bind_same,
                                      .skip = hy_hf_fla_skip,
                                      .describe = describe_hgrn2};
