/* Llama: softmax attention and MLP, with names of its own for what we call attn and *_norm. */
#include <stdio.h>

#include "train/publish/hf_transformers.h"

static void read_llama(hy_hf_reader *reader, hy_model_config *model) {
    hy_hf_decoder d = {.vocab = 32000,
                       .width = 4096,
                       .mlp_width = 11008,
                       .layers = 32,
                       .heads = 32,
                       .norm_eps = 1e-6,
                       .rope_fraction = 1};
    hy_hf_check_keys(reader, (const hy_hf_key *const[]){hy_hf_decoder_keys, hy_hf_common_keys, NULL});
    hy_hf_read_decoder(reader, &d, model);
    if (hy_hf_read_softmax(reader, &d, model)->rope_fraction < 1)
        hy_hf_unsupported(reader, "partial_rotary_factor", "this family turns whole heads");
    model->n_pattern = 1;
    snprintf(model->pattern[0], HY_NAME_MAX, "attention");
}

static int bind_llama(const json_t *config, const hy_param *param, hy_hf_binding *out) {
    static const hy_hf_rename names[] = {{"model.embeddings.", "model.embed_tokens."},
                                         {".attn_norm.", ".input_layernorm."},
                                         {".mlp_norm.", ".post_attention_layernorm."},
                                         {".attn.", ".self_attn."},
                                         {NULL, NULL}};
    (void)config;
    return hy_hf_bind_renamed(param, names, out);
}

static const char *const llama_skip[] = {"*.rotary_emb.inv_freq", NULL};

const hy_hf_family hy_hf_llama = {.model_type = "llama",
                                  .kind = "attention",
                                  .read = read_llama,
                                  .bind = bind_llama,
                                  .skip = llama_skip,
                                  .describe = hy_hf_describe_llama};
