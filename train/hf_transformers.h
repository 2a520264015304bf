/* What the decoders of transformers' library share: sizes under the same keys, forms of rotary parameters that changed over its
 * versions, a list of layer types, and names of tensors that differ from ours by a table. */
#ifndef HY_TRAIN_HF_TRANSFORMERS_H
#define HY_TRAIN_HF_TRANSFORMERS_H

#include "train/hf_family.h"

/* Keys that hy_hf_read_decoder and hy_hf_read_softmax read, and those of the library's decoders that have no effect. */
extern const hy_hf_key hy_hf_decoder_keys[];

typedef struct hy_hf_decoder {
    int64_t vocab, width, mlp_width, layers, heads;
    int64_t kv_heads; /* 0 = heads */
    int64_t head_dim; /* 0 = width/heads */
    double norm_eps;
    double rope_fraction;
    bool rope_optional; /* a base of null means no rotary embedding */
} hy_hf_decoder;

/* *decoder holds the class's defaults and receives what the config says. Fills the model's sizes. */
void hy_hf_read_decoder(hy_hf_reader *reader, hy_hf_decoder *decoder, hy_model_config *model);
/* NULL and reader->status if there are too many. */
hy_mixer_config *hy_hf_add_mixer(hy_hf_reader *reader, hy_model_config *model, const char *kind);
/* Adds the softmax mixer "attention" of the decoder. */
hy_mixer_config *hy_hf_read_softmax(hy_hf_reader *reader, const hy_hf_decoder *decoder, hy_model_config *model);

/* layer_types, or every full_attention_interval-th layer (absent: 4). */
bool hy_hf_layer_is_full(const json_t *config, int64_t layer);
/* The schedule these make: `linear`, and "attention" where a layer is full. */
void hy_hf_read_layer_types(hy_hf_reader *reader, hy_model_config *model, const char *linear);
/* One more layer of the schedule that departs from its pattern. */
void hy_hf_override(hy_model_config *model, int64_t layer, const char *mixer);

/* A pattern of our names and of theirs. '#' is a layer's number, '*' at the end any text; both are carried over. */
typedef struct hy_hf_rename {
    const char *ours, *theirs; /* NULL ends the table */
} hy_hf_rename;
/* By the first row that fits, which must exist. */
void hy_hf_rename_param(const hy_hf_rename *table, const char *ours, char *theirs, size_t size);
/* Layer of "model.layers.12.…"; −1 for other names. */
int64_t hy_hf_param_layer(const char *name);

#endif
