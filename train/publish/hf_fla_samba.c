/* flash-linear-attention's samba: Mamba layers, and window attention in those that `attn` names. The MLP takes its width from hidden_ratio alone;
 * intermediate_size is that of the Mamba layer. Without the key `attn` every other one of the first 18 layers has attention; null: none has. */
#include <string.h>

#include "train/publish/hf_fla.h"

static const hy_hf_key samba_keys[] = {
    {"attn", HY_HF_USED, NULL},
    {"conv_kernel", HY_HF_USED, NULL},
    {"expand", HY_HF_USED, NULL},
    {"rescale_prenorm_residual", HY_HF_HARMLESS, NULL}, /* how a new model starts, so too time_step_min and on */
    {"residual_in_fp32", HY_HF_HARMLESS, NULL},
    {"state_size", HY_HF_USED, NULL},
    {"time_step_floor", HY_HF_HARMLESS, NULL},
    {"time_step_init_scheme", HY_HF_HARMLESS, NULL},
    {"time_step_max", HY_HF_HARMLESS, NULL},
    {"time_step_min", HY_HF_HARMLESS, NULL},
    {"time_step_rank", HY_HF_USED, NULL},
    {"time_step_scale", HY_HF_HARMLESS, NULL},
    {"use_bias", HY_HF_USED, NULL},
    {"use_conv_bias", HY_HF_HARMLESS, NULL}, /* its model never hands it on: there is a bias */
    {NULL, HY_HF_HARMLESS, NULL},
};

/* Layers 1, 3, ..., 17, as far as the model has them. */
static void read_default_attn(hy_hf_reader *reader, hy_model_config *model) {
    json_t *layers = json_array();
    for (int64_t l = 1; l < model->layers && l < 18; l += 2)
        json_array_append_new(layers, json_integer(l));
    json_t *config = json_pack("{s:{s:o, s:i, s:i, s:b, s:i, s:f}}", "attn", "layers", layers, "num_heads", 18,
                               "num_kv_heads", 18, "qkv_bias", 0, "window_size", 2048, "rope_theta", 10000.0);
    hy_hf_reader inside = {reader->file, "default ", config, HY_OK};
    hy_hf_fla_read_attn(&inside, model);
    if (reader->status == HY_OK)
        reader->status = inside.status;
    json_decref(config);
}

static void read_samba(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){samba_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "mamba1", 4, 18, 1);
    model->width = hy_hf_size(reader, "hidden_size", 2304);
    model->norm_eps = mixer->norm_eps = hy_hf_real(reader, "norm_eps", 1e-5);
    model->mlp_width = 0;
    model->pad_token = -1; /* its embedding is trained */
    const char *rank = json_string_value(json_object_get(reader->object, "time_step_rank"));
    int64_t automatic = (model->width + 15) / 16;
    mixer->heads = 1;
    mixer->head_dim = hy_hf_size(reader, "state_size", 16);
    mixer->value_heads =
        hy_hf_size(reader, "intermediate_size",
                   hy_hf_fla_channels(reader, "expand", hy_hf_real(reader, "expand", 2), model->width, 1));
    mixer->gate_rank = rank && strcmp(rank, "auto") == 0 ? automatic : hy_hf_size(reader, "time_step_rank", automatic);
    mixer->conv = hy_hf_size(reader, "conv_kernel", 4);
    mixer->proj_bias = hy_hf_flag(reader, "use_bias", false);
    if (json_object_get(reader->object, "attn"))
        hy_hf_fla_read_attn(reader, model);
    else
        read_default_attn(reader, model);
}

static json_t *describe_samba(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    json_t *json = hy_hf_fla_describe_common(model, "samba", "SambaForCausalLM", 4);
    hy_hf_fla_merge(json, json_pack("{s:I, s:o, s:I, s:I, s:I, s:b, s:o}", "intermediate_size",
                                    (json_int_t)mixer->value_heads, "expand",
                                    hy_hf_number(hy_hf_fla_expand(mixer->value_heads, model->width)), "state_size",
                                    (json_int_t)mixer->head_dim, "time_step_rank", (json_int_t)mixer->gate_rank,
                                    "conv_kernel", (json_int_t)mixer->conv, "use_bias", (int)mixer->proj_bias, "attn",
                                    hy_hf_fla_attn_value(model)));
    return json;
}

const hy_hf_family hy_hf_fla_samba = {.model_type = "samba",
                                      .kind = "mamba1",
                                      .softmax = HY_HF_ANY,
                                      .read = read_samba,
                                      .bind = hy_hf_bind_backbone_mixer_norm,
                                      .skip = hy_hf_fla_skip,
                                      .describe = describe_samba};
