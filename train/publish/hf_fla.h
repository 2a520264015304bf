/* flash-linear-attention's families: what they share, and their way out. */
#ifndef HY_TRAIN_HF_FLA_H
#define HY_TRAIN_HF_FLA_H

#include "train/publish/hf_family.h"

/* ---- reading config.json ---- */

extern const hy_hf_key hy_hf_fla_keys[]; /* keys of every family */
/* These keys, and the schedule: all layers are `kind` until attn says otherwise. The rest are defaults of the family. */
hy_mixer_config *hy_hf_fla_read_common(hy_hf_reader *reader, hy_model_config *model, const char *kind,
                                       double hidden_ratio, int64_t layers, int64_t heads);
hy_mixer_config *hy_hf_fla_add_mixer(hy_hf_reader *reader, hy_model_config *model, const char *name, const char *kind);
/* The key `attn`. */
void hy_hf_fla_read_attn(hy_hf_reader *reader, hy_model_config *model);
void hy_hf_fla_read_softmax(hy_hf_reader *reader, const hy_model_config *model, hy_mixer_config *mixer, int64_t heads);
/* width·expand channels over `heads` heads. */
int64_t hy_hf_fla_channels(hy_hf_reader *reader, const char *key, double expand, int64_t width, int64_t heads);
/* The keys of mamba2, for models of mixer `kind`; the mixer is returned. */
hy_mixer_config *hy_hf_fla_read_mamba2(hy_hf_reader *reader, hy_model_config *model, const char *kind);
/* [low, high] of the step of mamba2's layers. */
void hy_hf_read_limits(hy_hf_reader *reader, const char *key, hy_mixer_config *mixer);
/* rope_theta under its newer name must agree with the older one, which is what the model's code reads. */
void hy_hf_fla_check_rope_parameters(hy_hf_reader *reader, double base);

/* ---- tensors ---- */

/* Every parameter whole, under our name. */
int hy_hf_fla_bind_same(const json_t *config, const hy_param *param, hy_hf_binding *out);
extern const char *const hy_hf_fla_skip[];

/* ---- writing config.json ---- */

/* The least x with trunc(whole·x) == part, as the library computes channels. */
double hy_hf_fla_expand(int64_t part, int64_t whole);
json_t *hy_hf_fla_attn_value(const hy_model_config *model); /* of the key `attn` */
json_t *hy_hf_fla_size_or_null(int64_t n);
double hy_hf_fla_base(const hy_mixer_config *softmax); /* of rotary positions; these families cannot do without */
json_t *hy_hf_fla_describe_common(const hy_model_config *model, const char *type, const char *class, int ratio);
/* Adds the keys of `more`, which is released. */
void hy_hf_fla_merge(json_t *object, json_t *more);
/* Whether all softmax layers have heads that divide the width, which here is how many channels a head has; else subject->why. */
bool hy_hf_fla_softmax_fits(hy_hf_subject *subject);

/* Of mamba2, and of models with the same keys: model_type is the mixer's kind. */
json_t *hy_hf_fla_describe_mamba2(hy_hf_subject *subject, const char *class);
json_t *hy_hf_fla_describe_transformer(hy_hf_subject *subject);
json_t *hy_hf_fla_describe_retnet(hy_hf_subject *subject);
json_t *hy_hf_fla_describe_gla(hy_hf_subject *subject);
json_t *hy_hf_fla_describe_delta_net(hy_hf_subject *subject);
json_t *hy_hf_fla_describe_gated_deltanet(hy_hf_subject *subject);

#endif
