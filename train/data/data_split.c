#include "train/data/data_split.h"

/* The group's share of `batch`. */
static hy_data_split share_of_group(int64_t batch, int64_t groups, int64_t group, int64_t unit) {
    const int64_t least = batch / groups, more = batch % groups;
    hy_data_split split = {.unit = unit, .count = least + (group < more)};
    split.first = group * least + (group < more ? group : more);
    split.calls = (split.count + unit - 1) / unit;
    split.calls_max = (least + (more > 0) + unit - 1) / unit;
    return split;
}

hy_data_split hy_data_split_make(int64_t batch, int64_t groups, int64_t group, int64_t accumulate) {
    const int64_t micro = groups * accumulate;
    return share_of_group(batch, groups, group, batch % micro == 0 ? batch / micro : 1);
}

hy_data_split hy_data_split_eval(int64_t sequences, int64_t groups, int64_t group, int64_t unit) {
    return share_of_group(sequences, groups, group, unit);
}
