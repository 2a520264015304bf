/* What the hot operations cost at the sizes of a large model, and what they launch: every operation's line is followed, in HYLAS_SIMT_LAUNCHES, by
 * its launches, which run nothing (launch/scripts/kernel-roofline.py).
 *
 *     case | operation | launches before it | FLOPs | bytes */
#include <stdio.h>

#include "kernels/cost.h"
#include "tests/hot_ops.h"
#include "tests/simt/simt.h"

static const char *label;

static void print_cost(hy_op_id op, const void *args, hy_dtype dtype) {
    const hy_cost cost = hy_cost_of(op, args, dtype, NULL);
    printf("%s|%s|%lld|%.6g|%.6g\n", label, hy_op_name(op), (long long)hy_simt_launches(), cost.flops, cost.bytes);
}

int main(void) {
    enum { T = 8192, HEADS = 96, D = 128 }; /* the first shape of launch/scripts/compare-fla.py */
    static const hot_op ops[] = {
        {"gated_deltanet, 96 heads of 128", HOT_RECUR, HY_BF16, HY_DECAY_SCALAR, HY_RULE_DELTA, T, D, HEADS, 0},
        {"kda, 96 heads of 128", HOT_RECUR, HY_BF16, HY_DECAY_VECTOR, HY_RULE_DELTA, T, D, HEADS, 0},
        {"gla, 96 heads of 128", HOT_RECUR, HY_BF16, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, T, D, HEADS, 0},
        {"levels over gated_deltanet, 16 heads of 128", HOT_LEVELS, HY_BF16, HY_DECAY_SCALAR, HY_RULE_DELTA, 16384, D,
         16, 0},
        {"channels, 2048", HOT_CHANNELS, HY_BF16, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, 16384, 2048, 1, 0},
        {"attention, causal, 16 heads of 128", HOT_ATTENTION, HY_BF16, HY_DECAY_NONE, HY_RULE_ADDITIVE, 16384, D, 8, 1},
        {"rows, 2048 channels, 16 heads", HOT_ROWS, HY_BF16, HY_DECAY_NONE, HY_RULE_ADDITIVE, 16384, 2048, 16, 0},
    };
    hy_simt_only_count();
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        hot_run run = {.called = print_cost, .nowhere = 1};
        label = ops[i].name;
        hot_run_op(&run, &ops[i], 1);
        hot_fini(&run);
    }
    return 0;
}
