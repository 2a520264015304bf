/* The keys of the config's section `model`, as tables of base/schema.h: names, defaults, ranges and help of
 * hy_model_config and, under model.mixers.<name>, of hy_mixer_config. */
#ifndef HY_LAYERS_MODEL_CONFIG_KEYS_H
#define HY_LAYERS_MODEL_CONFIG_KEYS_H

#include "base/schema.h"
#include "layers/model_config.h"

extern const hy_schema hy_model_schema;
extern const hy_schema hy_mixer_schema;

#endif
