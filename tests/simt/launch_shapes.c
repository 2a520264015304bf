/* Launches every hot kernel on the interpreter with heads of 64, 128 and 256 channels, so that HYLAS_SIMT_LAUNCHES has the threads and the shared
 * memory of its blocks (launch/scripts/kernel-resources.py). */
#include "tests/hot_ops.h"

int main(void) {
    static const int64_t widths[] = {64, 128, 256};
    static const hy_dtype dtypes[] = {HY_F32, HY_BF16};
    for (int i = 0; i < 6; i++) {
        for (int kind = 0; kind < HOT_KINDS; kind++) {
            const hy_rule rule = kind == HOT_RECUR ? HY_RULE_DELTA : HY_RULE_ADDITIVE;
            const hot_op op = {"", (hot_kind)kind, dtypes[i % 2], rule, 33, widths[i / 2]};
            hot_run run;
            hot_run_op(&run, &op, 1);
            hot_fini(&run);
        }
    }
    return 0;
}
