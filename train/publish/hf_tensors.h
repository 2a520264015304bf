/* Where the parameters of a model lie in the tensors of its published files: what reading and writing share. */
#ifndef HY_TRAIN_HF_TENSORS_H
#define HY_TRAIN_HF_TENSORS_H

#include "train/publish/hf_family.h"
#include "train/publish/safetensors.h"

typedef struct hy_hf_piece {
    hy_hf_binding binding;
    const hy_param *param;
    int64_t row; /* elements of a row */
} hy_hf_piece;

typedef struct hy_hf_map {
    int64_t n;
    hy_hf_piece *pieces; /* freed by hy_free */
} hy_hf_map;

HY_MUST_CHECK hy_status hy_hf_map_create(const hy_hf *hf, const hy_hf_family *form, const hy_model *model,
                                         hy_hf_map *map);
/* The form of the family that calls its tensors so; names NULL: the one hf remembers. */
const hy_hf_family *hy_hf_form_of(const hy_hf *hf, const json_t *names);
/* Whether the family says that a tensor of this name carries no parameter. */
bool hy_hf_skips(const hy_hf *hf, const char *name);

#endif
