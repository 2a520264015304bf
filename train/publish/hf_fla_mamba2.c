/* flash-linear-attention's mamba2: blocks without MLP, everything in the Mamba-2 layer. Its names say backbone, norm and mixer. The library of
 * transformers has a family of the same model_type, whose keys for epsilon and limits have other names. */
#include <math.h>
#include <string.h>

#include "train/publish/hf_fla.h"

static const hy_hf_key keys[] = {
    {"A_init_range", HY_HF_HARMLESS, NULL}, /* how a new model starts, so too dt_* and rescale_* */
    {"D_has_hdim", HY_HF_USED, NULL},
    {"attnres_block_size", HY_HF_ONLY, "[null]"},
    {"chunk_size", HY_HF_HARMLESS, NULL},
    {"conv_init", HY_HF_HARMLESS, NULL},
    {"conv_kernel", HY_HF_USED, NULL},
    {"dt_init_floor", HY_HF_HARMLESS, NULL},
    {"dt_limit", HY_HF_USED, NULL},
    {"dt_max", HY_HF_HARMLESS, NULL},
    {"dt_min", HY_HF_HARMLESS, NULL},
    {"expand", HY_HF_USED, NULL},
    {"fuse_cross_entropy", HY_HF_HARMLESS, NULL},
    {"fuse_linear_cross_entropy", HY_HF_HARMLESS, NULL},
    {"fuse_norm", HY_HF_HARMLESS, NULL},
    {"head_dim", HY_HF_USED, NULL},
    {"hidden_act", HY_HF_ONLY, "[\"silu\", \"swish\"]"},
    {"hidden_size", HY_HF_USED, NULL},
    {"initializer_range", HY_HF_USED, NULL},
    {"intermediate_size", HY_HF_HARMLESS, NULL}, /* not one of its own: the layer has expand */
    {"n_groups", HY_HF_USED, NULL},
    {"norm_before_gate", HY_HF_USED, NULL},
    {"norm_eps", HY_HF_USED, NULL},
    {"num_heads", HY_HF_USED, NULL},
    {"num_hidden_layers", HY_HF_USED, NULL},
    {"rescale_prenorm_residual", HY_HF_HARMLESS, NULL},
    {"residual_in_fp32", HY_HF_HARMLESS, NULL},
    {"rmsnorm", HY_HF_USED, NULL},
    {"state_size", HY_HF_USED, NULL},
    {"tie_word_embeddings", HY_HF_USED, NULL},
    {"use_bias", HY_HF_USED, NULL},
    {"use_conv_bias", HY_HF_USED, NULL},
    {"use_l2warp", HY_HF_ONLY, "[false]"},
    {"vocab_size", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static bool is_fla(const json_t *config) {
    static const char *const others[] = {"layer_norm_epsilon", "time_step_floor", "time_step_limit",
                                         "time_step_max",      "time_step_min",   "time_step_rank"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (json_object_get(config, others[i]))
            return false;
    return true;
}

void hy_hf_read_limits(hy_hf_reader *reader, const char *key, hy_mixer_config *mixer) {
    const json_t *pair = json_object_get(reader->object, key);
    if (!pair || json_is_null(pair))
        return;
    json_t *both = json_pack("{s:O?, s:O?}", "low", json_array_get(pair, 0), "high", json_array_get(pair, 1));
    hy_hf_reader inside = {reader->file, "limits of the step: ", both, HY_OK};
    mixer->step_low = hy_hf_real(&inside, "low", 0);
    mixer->step_high = hy_hf_real(&inside, "high", (double)INFINITY);
    if (json_array_size(pair) != 2 || inside.status != HY_OK ||
        !(mixer->step_low >= 0 && isfinite(mixer->step_low) && mixer->step_low <= mixer->step_high))
        hy_hf_unsupported(reader, key, "wanted a low and a high limit, none below 0");
    json_decref(both);
}

hy_mixer_config *hy_hf_fla_read_mamba2(hy_hf_reader *reader, hy_model_config *model, const char *kind) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, kind, 4, 48, 1);
    model->norm_eps = mixer->norm_eps = hy_hf_real(reader, "norm_eps", 1e-5);
    model->mlp_width = 0;
    model->pad_token = -1; /* its embedding is trained */
    mixer->heads = hy_hf_size(reader, "n_groups", 1);
    mixer->head_dim = hy_hf_size(reader, "state_size", 128);
    mixer->value_dim = hy_hf_size(reader, "head_dim", 64);
    int64_t inner = hy_hf_fla_channels(reader, "expand", hy_hf_real(reader, "expand", 2), model->width, 1);
    mixer->value_heads = inner / mixer->value_dim;
    if (mixer->value_heads < 1 || inner % mixer->value_dim != 0)
        hy_hf_unsupported(reader, "head_dim", "it must divide hidden_size times expand");
    if (hy_hf_size(reader, "num_heads", mixer->value_heads) != mixer->value_heads)
        hy_hf_unsupported(reader, "num_heads", "it must be hidden_size times expand over head_dim");
    if (mixer->value_heads % mixer->heads != 0)
        hy_hf_unsupported(reader, "n_groups", "it must divide the number of heads");
    mixer->conv = hy_hf_size(reader, "conv_kernel", 4);
    mixer->conv_bias = hy_hf_flag(reader, "use_conv_bias", true) ? HY_SWITCH_ON : HY_SWITCH_OFF;
    mixer->proj_bias = hy_hf_flag(reader, "use_bias", false);
    mixer->skip = hy_hf_flag(reader, "D_has_hdim", false) ? HY_SKIP_CHANNEL : HY_SKIP_HEAD;
    mixer->output_norm = hy_hf_flag(reader, "rmsnorm", true) ? HY_SWITCH_ON : HY_SWITCH_OFF;
    mixer->gate_first = hy_hf_flag(reader, "norm_before_gate", false) ? HY_SWITCH_OFF : HY_SWITCH_ON;
    hy_hf_read_limits(reader, "dt_limit", mixer);
    return mixer;
}

static void read_fla_mamba2(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_fla_read_mamba2(reader, model, "mamba2");
}

json_t *hy_hf_fla_describe_mamba2(hy_hf_subject *subject, const char *class) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    json_t *json = json_pack(
        "{s:s, s:[s], s:I, s:I, s:I, s:b, s:f, s:f, s:o, s:I, s:I, s:I, s:I, s:I}", "model_type", mixer->kind,
        "architectures", class, "hidden_size", (json_int_t)model->width, "num_hidden_layers", (json_int_t)model->layers,
        "vocab_size", (json_int_t)model->vocab, "tie_word_embeddings", (int)model->tied, "norm_eps", model->norm_eps,
        "initializer_range", model->init_std, "expand",
        hy_hf_number(hy_hf_fla_expand(mixer->value_heads * mixer->value_dim, model->width)), "n_groups",
        (json_int_t)mixer->heads, "state_size", (json_int_t)mixer->head_dim, "head_dim", (json_int_t)mixer->value_dim,
        "num_heads", (json_int_t)mixer->value_heads, "conv_kernel", (json_int_t)(mixer->conv > 0 ? mixer->conv : 4));
    hy_hf_fla_merge(json, json_pack("{s:b, s:b, s:b, s:b, s:b, s:o, s:s, s:b, s:n}", "use_conv_bias",
                                    mixer->conv_bias == HY_SWITCH_ON, "use_bias", (int)mixer->proj_bias, "D_has_hdim",
                                    mixer->skip == HY_SKIP_CHANNEL, "rmsnorm", mixer->output_norm == HY_SWITCH_ON,
                                    "norm_before_gate", mixer->gate_first == HY_SWITCH_OFF, "dt_limit",
                                    hy_hf_limits(mixer->step_low, mixer->step_high), "hidden_act", "silu", "use_cache",
                                    1, "pad_token_id"));
    return json;
}

static json_t *describe_mamba2(hy_hf_subject *subject) {
    return hy_hf_fla_describe_mamba2(subject, "Mamba2ForCausalLM");
}

const hy_hf_family hy_hf_fla_mamba2 = {.model_type = "mamba2",
                                       .name = "fla_mamba2",
                                       .kind = "mamba2",
                                       .is = is_fla,
                                       .read = read_fla_mamba2,
                                       .bind = hy_hf_bind_backbone_norm,
                                       .describe = describe_mamba2};
