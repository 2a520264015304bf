/* Qwen3.5, text: gated delta rule, and gated softmax attention every few layers. Norms count their weights from 1, but not the output
 * norm of the linear layers. Joined tensors, rows in blocks:
 *
 *   in_proj_qkv and conv1d: [q of all key heads | k of all key heads | v of all value heads]
 *   q_proj of softmax layers: per head [query | gate]
 *
 * The published models nest this config in text_config and put `language_model` into the names; what sees and what predicts several
 * tokens is skipped. */
#include <stdio.h>
#include <string.h>

#include "train/publish/hf_transformers.h"

static const hy_hf_key text_keys[] = {
    {"attn_output_gate", HY_HF_ONLY, "[true]"},
    {"full_attention_interval", HY_HF_USED, NULL},
    {"layer_types", HY_HF_USED, NULL},
    {"linear_conv_kernel_dim", HY_HF_USED, NULL},
    {"linear_key_head_dim", HY_HF_USED, NULL},
    {"linear_num_key_heads", HY_HF_USED, NULL},
    {"linear_num_value_heads", HY_HF_USED, NULL},
    {"linear_value_head_dim", HY_HF_USED, NULL},
    {"mamba_ssm_dtype", HY_HF_HARMLESS, NULL},
    {"mlp_only_layers", HY_HF_HARMLESS, NULL}, /* every MLP is dense */
    {"mtp_num_hidden_layers", HY_HF_HARMLESS, NULL},
    {"mtp_use_dedicated_embeddings", HY_HF_HARMLESS, NULL},
    {"output_gate_type", HY_HF_ONLY, "[\"swish\", \"silu\", null]"},
    {NULL, HY_HF_HARMLESS, NULL},
};

static const hy_hf_key nested_keys[] = {
    {"image_token_id", HY_HF_HARMLESS, NULL},
    {"language_model_only", HY_HF_HARMLESS, NULL},
    {"text_config", HY_HF_USED, NULL},
    {"tie_word_embeddings", HY_HF_USED, NULL},
    {"video_token_id", HY_HF_HARMLESS, NULL},
    {"vision_config", HY_HF_HARMLESS, NULL},
    {"vision_end_token_id", HY_HF_HARMLESS, NULL},
    {"vision_start_token_id", HY_HF_HARMLESS, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};

typedef struct linear_sizes {
    int64_t keys, values, key_dim, value_dim; /* heads; channels of a head */
} linear_sizes;

static linear_sizes read_qwen_sizes(hy_hf_reader *reader) {
    return (linear_sizes){
        hy_hf_size(reader, "linear_num_key_heads", 16), hy_hf_size(reader, "linear_num_value_heads", 32),
        hy_hf_size(reader, "linear_key_head_dim", 128), hy_hf_size(reader, "linear_value_head_dim", 128)};
}

static void read_text_model(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_decoder d = {.vocab = 248320,
                       .width = 4096,
                       .mlp_width = 12288,
                       .layers = 32,
                       .heads = 16,
                       .kv_heads = 4,
                       .head_dim = 256,
                       .norm_eps = 1e-6,
                       .rope_fraction = 0.25};
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){text_keys, hy_hf_decoder_keys, hy_hf_common_keys, NULL});
    hy_hf_read_decoder(reader, &d, model);
    model->zero_centred = true;
    hy_mixer_config *linear = hy_hf_add_mixer(model, "gated_deltanet"), *full = hy_hf_read_softmax(reader, &d, model);
    linear_sizes s = read_qwen_sizes(reader);
    linear->heads = s.keys;
    linear->value_heads = s.values;
    linear->head_dim = s.key_dim;
    linear->value_dim = s.value_dim;
    linear->conv = hy_hf_size(reader, "linear_conv_kernel_dim", 4);
    if (s.values % s.keys != 0)
        hy_hf_unsupported(reader, "linear_num_value_heads", "it must be a multiple of linear_num_key_heads");
    full->qk_norm = HY_QK_NORM_RMS_HEAD;
    full->output_gate = HY_GATE_CHANNEL;
    hy_hf_read_layer_types(reader, model, "gated_deltanet");
}

static const json_t *text_of(const json_t *config) {
    const json_t *text = json_object_get(config, "text_config");
    return text ? text : config;
}

static void read_nested(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_reader text = {reader->file, "text_config.", json_object_get(reader->object, "text_config"), HY_OK};
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){nested_keys, hy_hf_common_keys, NULL});
    if (!json_is_object(text.object)) {
        hy_hf_unsupported(reader, "text_config", "wanted an object");
        return;
    }
    read_text_model(&text, model);
    if (json_object_get(reader->object, "tie_word_embeddings")) {
        bool tied = hy_hf_flag(reader, "tie_word_embeddings", false);
        if (json_object_get(text.object, "tie_word_embeddings") && tied != model->tied)
            hy_hf_unsupported(reader, "tie_word_embeddings", "text_config says otherwise");
        model->tied = tied;
    }
    if (reader->status == HY_OK)
        reader->status = text.status;
}

static const hy_hf_rename linear_names[] = {
    {".attn.q_proj.", ".linear_attn.in_proj_qkv."},
    {".attn.k_proj.", ".linear_attn.in_proj_qkv."},
    {".attn.v_proj.", ".linear_attn.in_proj_qkv."},
    {".attn.q_conv1d.", ".linear_attn.conv1d."},
    {".attn.k_conv1d.", ".linear_attn.conv1d."},
    {".attn.v_conv1d.", ".linear_attn.conv1d."},
    {".attn.g_proj.", ".linear_attn.in_proj_z."},
    {".attn.a_proj.", ".linear_attn.in_proj_a."},
    {".attn.b_proj.", ".linear_attn.in_proj_b."},
    {".attn.o_norm.", ".linear_attn.norm."},
    {".attn.o_proj.", ".linear_attn.out_proj."},
    {".attn.", ".linear_attn."},
    {NULL, NULL},
};

static const hy_hf_rename other_names[] = {
    {"model.embeddings.", "model.embed_tokens."},
    {".attn_norm.", ".input_layernorm."},
    {".mlp_norm.", ".post_attention_layernorm."},
    {".attn.g_proj.", ".self_attn.q_proj."},
    {".attn.", ".self_attn."},
    {NULL, NULL},
};

/* Rows of the joined q, k, v. */
static void bind_linear(const json_t *config, char part, hy_hf_binding *out) {
    hy_hf_reader reader = {"", "", config, HY_OK};
    linear_sizes s = read_qwen_sizes(&reader);
    int64_t keys = s.keys * s.key_dim, values = s.values * s.value_dim;
    out->shape[0] = 2 * keys + values;
    out->file_row = part == 'q' ? 0 : part == 'k' ? keys : 2 * keys;
}

/* Every head's query or gate. */
static void bind_halves(const json_t *config, const hy_param *param, bool gate, hy_hf_binding *out) {
    hy_hf_reader reader = {"", "", config, HY_OK};
    int64_t heads = hy_hf_size(&reader, "num_attention_heads", 16), rows = param->shape[0] / heads;
    out->shape[0] = 2 * param->shape[0];
    out->n_blocks = heads;
    out->block_rows = out->param_stride = rows;
    out->file_row = gate ? rows : 0;
    out->file_stride = 2 * rows;
}

static int bind_text(const json_t *whole, const hy_param *param, hy_hf_binding *out) {
    const json_t *config = text_of(whole);
    int64_t layer = hy_hf_param_layer(param->name);
    const char *own = strstr(param->name, ".attn.");
    bool linear = own && !hy_hf_layer_is_full(config, layer);
    int n = hy_hf_bind_renamed(param, linear ? linear_names : other_names, out);
    if (linear && (strstr(out->name, ".in_proj_qkv.") || strstr(out->name, ".conv1d.")))
        bind_linear(config, own[strlen(".attn.")], out);
    else if (own && !linear && strstr(out->name, ".q_proj."))
        bind_halves(config, param, own[strlen(".attn.")] == 'g', out);
    return n;
}

static int bind_nested(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    char name[192];
    int n = bind_text(config, param, out);
    if (strncmp(out->name, "model.", 6) == 0) {
        memcpy(name, out->name, sizeof name);
        snprintf(out->name, sizeof out->name, "model.language_model.%.160s", name + 6);
    }
    return n;
}

static const char *const text_skip[] = {"mtp.*", NULL};
static const char *const nested_skip[] = {"model.visual.*", "mtp.*", NULL};

const hy_hf_family hy_hf_qwen3_5_text = {.model_type = "qwen3_5_text",
                                         .kind = "gated_deltanet",
                                         .softmax = HY_HF_PAIR,
                                         .read = read_text_model,
                                         .bind = bind_text,
                                         .skip = text_skip,
                                         .describe = hy_hf_describe_qwen3_5};
const hy_hf_family hy_hf_qwen3_5 = {
    .model_type = "qwen3_5", .read = read_nested, .bind = bind_nested, .skip = nested_skip};
