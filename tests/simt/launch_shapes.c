/* Launches every hot kernel on the interpreter with heads of 64, 128 and 256 channels, so that HYLAS_SIMT_LAUNCHES has the threads and the shared
 * memory of its blocks (launch/scripts/kernel-resources.py). */
#include "tests/hot_ops.h"

static void launch_op(hot_kind kind, hy_dtype dtype, hy_decay decay, hy_rule rule, int64_t T, int64_t width) {
    const hot_op op = {.name = "", .kind = kind, .dtype = dtype, .decay = decay, .rule = rule, .T = T, .width = width};
    hot_run run = {0};
    hot_run_op(&run, &op, 1);
    hot_fini(&run);
}

int main(void) {
    static const int64_t widths[] = {64, 128, 256};
    static const hy_dtype dtypes[] = {HY_F32, HY_BF16};
    for (int i = 0; i < 6; i++) {
        const hy_dtype dtype = dtypes[i % 2];
        const int64_t width = widths[i / 2];
        launch_op(HOT_RECUR, dtype, HY_DECAY_SCALAR, HY_RULE_DELTA, 33, width);
        launch_op(HOT_RECUR, dtype, HY_DECAY_VECTOR, HY_RULE_DELTA, 33, width);
        launch_op(HOT_RECUR, dtype, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, 33, width);
        launch_op(HOT_CHANNELS, dtype, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, 33, width);
        launch_op(HOT_ATTENTION, dtype, HY_DECAY_NONE, HY_RULE_ADDITIVE, 33, width);
        launch_op(HOT_PRODUCT, dtype, HY_DECAY_NONE, HY_RULE_ADDITIVE, 33, width);
        launch_op(HOT_ROWS, dtype, HY_DECAY_NONE, HY_RULE_ADDITIVE, 33, width);
    }
    for (int i = 0; i < 2; i++) {
        launch_op(HOT_LEVELS, dtypes[i], HY_DECAY_SCALAR, HY_RULE_DELTA, 40, 64);
        launch_op(HOT_LONG_CONV, dtypes[i], HY_DECAY_NONE, HY_RULE_ADDITIVE, 300, 2);
    }
    return 0;
}
