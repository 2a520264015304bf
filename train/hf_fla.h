/* config.json of a model of ours for each of flash-linear-attention's families; NULL where the schedule does not fit. Whether every
 * number survives is found out by reading the result back. */
#ifndef HY_TRAIN_HF_FLA_H
#define HY_TRAIN_HF_FLA_H

#include "train/hf_family.h"

json_t *hy_hf_fla_describe_transformer(const hy_model_config *model);
json_t *hy_hf_fla_describe_retnet(const hy_model_config *model);
json_t *hy_hf_fla_describe_gla(const hy_model_config *model);
json_t *hy_hf_fla_describe_delta_net(const hy_model_config *model);
json_t *hy_hf_fla_describe_gated_deltanet(const hy_model_config *model);

#endif
