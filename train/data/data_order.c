#include "train/data/data_order.h"

#include "base/random.h"

int64_t hy_data_order(uint64_t seed, int64_t n, int64_t batch, int64_t step, int64_t index) {
    const int64_t position = step * batch + index;
    const uint64_t stream = hy_random_stream("data order") + (uint64_t)(position / n);
    return (int64_t)hy_random_permute(seed, stream, (uint64_t)n, (uint64_t)(position % n));
}

/* The group's share of `batch`. */
static hy_data_split share(int64_t batch, int64_t groups, int64_t group, int64_t unit) {
    const int64_t least = batch / groups, more = batch % groups;
    hy_data_split split = {.unit = unit, .count = least + (group < more)};
    split.first = group * least + (group < more ? group : more);
    split.calls = (split.count + unit - 1) / unit;
    split.calls_max = (least + (more > 0) + unit - 1) / unit;
    return split;
}

hy_data_split hy_data_split_make(int64_t batch, int64_t groups, int64_t group, int64_t accumulate) {
    const int64_t micro = groups * accumulate;
    return share(batch, groups, group, batch % micro == 0 ? batch / micro : 1);
}

hy_data_split hy_data_split_eval(int64_t sequences, int64_t groups, int64_t group, int64_t unit) {
    return share(sequences, groups, group, unit);
}
