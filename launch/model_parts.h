/* A model's parameters summed by what they are: embedding, MLPs, each kind of mixer, ... */
#ifndef HY_LAUNCH_MODEL_PARTS_H
#define HY_LAUNCH_MODEL_PARTS_H

#include "layers/model.h"

enum { HY_MODEL_PARTS_MAX = HY_MIXERS_MAX + 4 };

typedef struct hy_model_part {
    char name[64];
    int64_t arrays, count;
} hy_model_part;

/* Fills `parts` [HY_MODEL_PARTS_MAX]; how many there are. */
int hy_model_parts(const hy_model_config *config, const hy_model *model, hy_model_part *parts);

#endif
