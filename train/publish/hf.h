/* Models people have: a folder with a Hugging Face config.json and safetensors, to a model of ours and back.
 *
 * config.json is read by a family (hf_<family>.c), chosen by model_type. Every key must be known to it: used, without effect on the
 * mathematics, or of the one value that is supported. Anything else is HY_ERR_USAGE naming the key, never ignored. */
#ifndef HY_TRAIN_HF_H
#define HY_TRAIN_HF_H

#include "base/status.h"
#include "layers/model.h"

/* A config.json that has been understood. */
typedef struct hy_hf hy_hf;

/* dir/config.json. HY_ERR_DATA if it is no JSON object, HY_ERR_USAGE for what is not supported. Local. */
HY_MUST_CHECK hy_status hy_hf_open(const char *dir, hy_hf **out);
/* The same from memory; `name` stands for the file in messages. Local. */
HY_MUST_CHECK hy_status hy_hf_parse(const char *name, const char *text, size_t len, hy_hf **out);

/* What a config.json says besides the model. */
typedef struct hy_hf_extra {
    const char
        *original;     /* config.json that the model was imported with: special tokens are taken from it; NULL = none */
    int64_t positions; /* tokens that it was trained on in one sequence; 0 = unknown */
} hy_hf_extra;

/* A config.json for a model in the terms of `family`; NULL: the family it was imported from, else the first that fits, those of
 * transformers before flash-linear-attention's. HY_ERR_USAGE naming the first thing that the family cannot say. Local. */
HY_MUST_CHECK hy_status hy_hf_describe(const hy_model_config *model, const char *family, const hy_hf_extra *extra,
                                       hy_hf **out);
/* max_position_embeddings, where it is there and less, becomes `positions`; all else stays as it was read. Local. */
HY_MUST_CHECK hy_status hy_hf_allow_positions(hy_hf *hf, int64_t positions);
const char *hy_hf_family_name(const hy_hf *hf); /* as `family` above */
/* Names of all families that can be written, "a, b, c". */
void hy_hf_family_names(char *out, size_t size);
void hy_hf_close(hy_hf *hf);

const hy_model_config *hy_hf_model_config(const hy_hf *hf); /* resolved */
/* Whether `model`, resolved, is the same mathematics and shapes. */
bool hy_hf_fits(const hy_hf *hf, const hy_model_config *model);
const char *hy_hf_config_text(const hy_hf *hf, size_t *len); /* as it was read */

/* The narrower of our types that holds dir's tensors exactly: HY_F64 if one of them is F64. Local. */
HY_MUST_CHECK hy_status hy_hf_stored_dtype(const char *dir, hy_dtype *dtype);
/* Parameters from dir's safetensors into `flat` (hy_model_flat_size elements, padding untouched). Missing, surplus and misshapen
 * tensors are HY_ERR_DATA naming them. *types becomes the element type of every tensor, as JSON, for hy_hf_write; freed by hy_free.
 * types may be NULL. *hf remembers how the files call their tensors. Local. */
HY_MUST_CHECK hy_status hy_hf_read_params(hy_hf *hf, const char *dir, const hy_model *model, hy_dtype dtype, void *flat,
                                          char **types);

/* Calls `visit` for every tensor of the published files, in the order of our parameters, with its elements as `dtype` gathered from
 * `flat` (parameters, or gradients of the same layout). Local. */
typedef hy_status (*hy_hf_visit)(void *context, const char *name, int n_dims, const int64_t *shape, const void *data);
HY_MUST_CHECK hy_status hy_hf_visit_tensors(const hy_hf *hf, const hy_model *model, hy_dtype dtype, const void *flat,
                                            hy_hf_visit visit, void *context);

/* Tensors of the published files in dir that the family skips by name will be written along. Local. */
HY_MUST_CHECK hy_status hy_hf_take_rest(hy_hf *hf, const char *dir);

/* Writes dir/config.json and dir/model.safetensors; dir is created. `types` as given by hy_hf_read_params, NULL = all F32. Local. */
HY_MUST_CHECK hy_status hy_hf_write(const hy_hf *hf, const char *dir, const hy_model *model, hy_dtype dtype,
                                    const void *flat, const char *types);

#endif
