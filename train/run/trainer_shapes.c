#include <string.h>

#include "base/memory.h"
#include "train/run/fixed_sums.h"
#include "train/run/trainer_shapes.h"

int hy_trainer_sequence_size(const hy_config *config, int ranks) {
    const int left = (int)(ranks / config->parallel.data);
    return config->parallel.sequence > 0 ? (int)config->parallel.sequence : left > 0 ? left : 1;
}

hy_pass_shapes hy_pass_shapes_of(const hy_config *config, const hy_stage *stage, const hy_place *at, hy_dtype dtype,
                                 bool train) {
    hy_pass_shapes s;
    s.split = hy_data_split_make(stage->batch, at->groups, at->group, stage->accumulate);
    if (!train) {
        s.split = hy_data_split_eval(config->train.eval.sequences, at->groups, at->group, s.split.unit);
    }
    s.feed = (hy_feed_shape){.layout = config->parallel.method.layout,
                             .cuts = config->parallel.method.cuts,
                             .sequence_size = at->sequence_size,
                             .sequence_rank = at->sequence_rank,
                             .unit = s.split.unit,
                             .len = stage->sequence,
                             .calls_max = train ? s.split.calls : 1,
                             .answers_only = train && config->data.loss == HY_LOSS_ANSWERS,
                             .ahead = train};
    s.run = (hy_run_shape){.method = config->parallel.method,
                           .sequence_size = at->sequence_size,
                           .sequence_rank = at->sequence_rank,
                           .n_seq = s.split.unit,
                           .len = stage->sequence,
                           .dtype = dtype,
                           .recompute = config->train.recompute,
                           .offload = config->train.offload,
                           .train = train,
                           .carry = train && config->train.carry_state};
    return s;
}

hy_status hy_stage_model_create(const hy_config *config, const hy_stage *stage, int shards, hy_model **out) {
    hy_model_config *own = NULL;
    if (stage->rope_base <= 0.0) {
        *out = NULL;
        return HY_OK;
    }
    HY_TRY(HY_NEW("a stage's model", 1, &own));
    memcpy(own, &config->model, sizeof *own);
    hy_stage_enter_model(stage, own);
    const hy_status status = hy_model_create(own, shards, out);
    hy_free(own);
    return status;
}

static hy_status find_place(const hy_config *config, int ranks, int rank, hy_place *out) {
    const int sequence = hy_trainer_sequence_size(config, ranks), groups = (int)config->parallel.data;
    if ((int64_t)sequence * groups != ranks) {
        return hy_fail(HY_ERR_USAGE, "%d ranks are not parallel.data %d x parallel.sequence %d", ranks, groups,
                       sequence);
    }
    *out = (hy_place){sequence, rank % sequence, groups, rank / sequence};
    return hy_fixed_sums_check(config, sequence);
}

hy_status hy_trainer_shape(const hy_config *config, int stage, int ranks, int rank, hy_run_shape *shape,
                           hy_data_split *split) {
    hy_place at = {0};
    HY_TRY(find_place(config, ranks, rank, &at));
    const hy_stage of_config = hy_stage_get(config, stage);
    const hy_pass_shapes s = hy_pass_shapes_of(config, &of_config, &at, hy_config_precision(config), true);
    *shape = s.run;
    *split = s.split;
    return HY_OK;
}
