/* flash-linear-attention's kda and its hybrids. Both gates are of rank head_dim·expand_v, which is no key. A lower bound, if there is one, makes
 * the safe gate, whatever safe_gate says: that key only chooses a kernel and how A_log starts. */
#include <math.h>

#include "train/publish/hf_fla.h"

static const hy_hf_key kda_keys[] = {
    {"allow_neg_eigval", HY_HF_USED, NULL}, {"attn", HY_HF_USED, NULL},      {"conv_size", HY_HF_USED, NULL},
    {"expand_v", HY_HF_USED, NULL},         {"head_dim", HY_HF_USED, NULL},  {"lower_bound", HY_HF_USED, NULL},
    {"num_v_heads", HY_HF_USED, NULL},      {"safe_gate", HY_HF_USED, NULL}, {"use_short_conv", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static void read_kda(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){kda_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "kda", 4, 24, 16);
    const json_t *bound = json_object_get(reader->object, "lower_bound");
    mixer->value_heads = hy_hf_size(reader, "num_v_heads", mixer->heads);
    mixer->head_dim = hy_hf_size(reader, "head_dim", 128);
    mixer->value_dim = hy_hf_fla_channels(reader, "expand_v", hy_hf_real(reader, "expand_v", 1), mixer->head_dim, 1);
    mixer->conv = hy_hf_flag(reader, "use_short_conv", true) ? hy_hf_size(reader, "conv_size", 4) : 0;
    mixer->negative_eigenvalues = hy_hf_flag(reader, "allow_neg_eigval", false);
    mixer->lower_bound = hy_hf_real(reader, "lower_bound", 0);
    if (bound && !json_is_null(bound) && !(mixer->lower_bound < 0 && isfinite(mixer->lower_bound)))
        hy_hf_unsupported(reader, "lower_bound", "it must be null or below 0");
    if (hy_hf_flag(reader, "safe_gate", false) && !(mixer->lower_bound < 0))
        hy_hf_unsupported(reader, "safe_gate", "it needs a lower_bound");
    if (mixer->value_heads % mixer->heads != 0)
        hy_hf_unsupported(reader, "num_v_heads", "it must be a multiple of num_heads");
    hy_hf_fla_read_attn(reader, model);
}

static json_t *describe_kda(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (!hy_hf_fla_softmax_fits(subject))
        return NULL;
    bool safe = mixer->lower_bound < 0;
    json_t *json = hy_hf_fla_describe_common(model, "kda", "KDAForCausalLM", 4);
    hy_hf_fla_merge(
        json, json_pack("{s:I, s:I, s:I, s:f, s:b, s:I, s:b, s:b, s:o, s:o}", "num_heads", (json_int_t)mixer->heads,
                        "num_v_heads", (json_int_t)mixer->value_heads, "head_dim", (json_int_t)mixer->head_dim,
                        "expand_v", hy_hf_fla_expand(mixer->value_dim, mixer->head_dim), "use_short_conv",
                        mixer->conv > 0, "conv_size", (json_int_t)(mixer->conv > 0 ? mixer->conv : 4),
                        "allow_neg_eigval", (int)mixer->negative_eigenvalues, "safe_gate", (int)safe, "lower_bound",
                        safe ? json_real(mixer->lower_bound) : json_null(), "attn", hy_hf_fla_attn_value(model)));
    return json;
}

const hy_hf_family hy_hf_fla_kda = {.model_type = "kda",
                                    .kind = "kda",
                                    .softmax = HY_HF_ANY,
                                    .read = read_kda,
                                    .bind = hy_hf_fla_bind_same,
                                    .skip = hy_hf_fla_skip,
                                    .describe = describe_kda};
