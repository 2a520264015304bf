/* flash-linear-attention's mla: multi-head latent attention in every layer. Its scale and its angles come from the head's width and
 * rope_theta alone: the model's code never uses what rope_scaling says. */
#include <math.h>

#include "train/publish/hf_fla.h"

static const hy_hf_key mla_keys[] = {
    {"kv_lora_rank", HY_HF_USED, NULL},     {"q_lora_rank", HY_HF_USED, NULL},
    {"qk_head_dim", HY_HF_USED, NULL},      {"qk_nope_head_dim", HY_HF_USED, NULL},
    {"qk_rope_head_dim", HY_HF_USED, NULL}, {"rope_parameters", HY_HF_HARMLESS, NULL},
    {"rope_scaling", HY_HF_HARMLESS, NULL}, {"rope_theta", HY_HF_USED, NULL},
    {"v_head_dim", HY_HF_USED, NULL},       {"window_size", HY_HF_USED, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

static void read_mla(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){mla_keys, hy_hf_fla_keys, hy_hf_common_keys, NULL});
    hy_mixer_config *mixer = hy_hf_fla_read_common(reader, model, "mla", 4, 24, 16);
    const json_t *q_rank = json_object_get(reader->object, "q_lora_rank"),
                 *total = json_object_get(reader->object, "qk_head_dim");
    mixer->q_rank = json_is_null(q_rank) ? 0 : hy_hf_size(reader, "q_lora_rank", 64); /* null: a full projection */
    mixer->kv_rank = hy_hf_size(reader, "kv_lora_rank", 512);
    mixer->rope_dim = hy_hf_size(reader, "qk_rope_head_dim", 64);
    mixer->head_dim = hy_hf_size(reader, "qk_nope_head_dim", 128) + mixer->rope_dim;
    mixer->value_dim = hy_hf_size(reader, "v_head_dim", 128);
    mixer->window = hy_hf_size(reader, "window_size", 0);
    mixer->rope_base = hy_hf_real(reader, "rope_theta", 10000);
    if (!json_is_null(total) && hy_hf_size(reader, "qk_head_dim", 192) != mixer->head_dim)
        hy_hf_unsupported(reader, "qk_head_dim", "it must be qk_nope_head_dim + qk_rope_head_dim");
    if (!(mixer->rope_base > 0) || !isfinite(mixer->rope_base))
        hy_hf_unsupported(reader, "rope_theta", "the base of rotary positions must be positive");
    if (mixer->rope_dim % 2 != 0)
        hy_hf_unsupported(reader, "qk_rope_head_dim", "it must be even");
}

static json_t *describe_mla(hy_hf_subject *subject) {
    const hy_model_config *model = subject->model;
    const hy_mixer_config *mixer = subject->own;
    if (mixer->rope_dim >= mixer->head_dim) {
        subject->why = "all channels of mla's heads are rotary";
        return NULL;
    }
    json_t *json = hy_hf_fla_describe_common(model, "mla", "MLAForCausalLM", 4);
    hy_hf_fla_merge(json,
                    json_pack("{s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:f}", "num_heads", (json_int_t)mixer->heads,
                              "q_lora_rank", hy_hf_fla_size_or_null(mixer->q_rank), "kv_lora_rank",
                              (json_int_t)mixer->kv_rank, "qk_head_dim", (json_int_t)mixer->head_dim,
                              "qk_nope_head_dim", (json_int_t)(mixer->head_dim - mixer->rope_dim), "qk_rope_head_dim",
                              (json_int_t)mixer->rope_dim, "v_head_dim", (json_int_t)mixer->value_dim, "window_size",
                              hy_hf_fla_size_or_null(mixer->window), "rope_theta", hy_hf_fla_base(mixer)));
    return json;
}

const hy_hf_family hy_hf_fla_mla = {.model_type = "mla",
                                    .kind = "mla",
                                    .read = read_mla,
                                    .bind = hy_hf_fla_bind_same,
                                    .skip = hy_hf_fla_skip,
                                    .describe = describe_mla};
