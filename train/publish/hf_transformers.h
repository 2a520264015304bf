/* What the decoders of transformers' library share: sizes under the same keys, forms of rotary parameters that changed over its
 * versions, a list of layer types. */
#ifndef HY_TRAIN_HF_TRANSFORMERS_H
#define HY_TRAIN_HF_TRANSFORMERS_H

#include "train/publish/hf_fla.h"

/* Keys that hy_hf_read_decoder and hy_hf_read_softmax read, and those of the library's decoders that have no effect. */
extern const hy_hf_key hy_hf_decoder_keys[];

typedef struct hy_hf_decoder {
    int64_t vocab, width, mlp_width, layers, heads;
    int64_t kv_heads;  /* 0 = heads, which is what null says in every family */
    int64_t head_dim;  /* 0 = width/heads */
    int64_t pad_token; /* where the key is missing, and 1 more: 0 = none */
    double norm_eps;
    double rope_fraction;
    bool rope_optional; /* a base of null means no rotary embedding */
} hy_hf_decoder;

/* A number from 0 to 1. */
double hy_hf_share(hy_hf_reader *reader, const char *key, double absent);
/* *decoder holds the class's defaults and receives what the config says. Fills the model's sizes. */
void hy_hf_read_decoder(hy_hf_reader *reader, hy_hf_decoder *decoder, hy_model_config *model);
/* A family adds one or two: there is room. */
hy_mixer_config *hy_hf_add_mixer(hy_model_config *model, const char *kind);
/* Adds the softmax mixer "attention" of the decoder. */
hy_mixer_config *hy_hf_read_softmax(hy_hf_reader *reader, const hy_hf_decoder *decoder, hy_model_config *model);

/* layer_types, or every full_attention_interval-th layer (absent: 4). */
bool hy_hf_layer_is_full(const json_t *config, int64_t layer);
/* The schedule these make: `linear`, and "attention" where a layer is full. */
void hy_hf_read_layer_types(hy_hf_reader *reader, hy_model_config *model, const char *linear);
/* One more layer of the schedule that departs from its pattern. */
void hy_hf_override(hy_model_config *model, int64_t layer, const char *mixer);

/* Layer of "model.layers.12.…"; −1 for other names. */
int64_t hy_hf_param_layer(const char *name);

/* config.json of a model of ours. */
json_t *hy_hf_describe_llama(hy_hf_subject *subject);
json_t *hy_hf_describe_qwen3_5(hy_hf_subject *subject);
json_t *hy_hf_describe_olmo_hybrid(hy_hf_subject *subject);
json_t *hy_hf_describe_mamba2(hy_hf_subject *subject);
json_t *hy_hf_describe_bamba(hy_hf_subject *subject);

#endif
