/* The kernels of kernels/cuda for recurrences against cpu_ref in double, in what test_recur_parity has not: every width of keys that a
 * kernel is made for, more columns than a stripe and fewer, beside shared keys and own ones; channels without keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/parity_recur.h"

static const int64_t sizes[][2] = {{32, 1}, {40, 24}, {64, 64}, {128, 128}, {80, 72}, {136, 16}, {256, 40}, {153, 66}};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void check(hy_decay decay, hy_rule rule, int exclusive) {
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    if (!parity_keep_cuda(&p))
        skip();
    for (size_t n = 0; n < SIZES; n++) {
        const int grouped = n % 3 == 1;
        const recur_case c = {.decay = decay,
                              .rule = rule,
                              .exclusive = exclusive,
                              .gate = (gate_strength)(n / 2 % GATE_STRENGTHS),
                              .shape = (int)((n + (size_t)decay) % RUN_SHAPES),
                              .H = grouped ? 1 : 2,
                              .HV = 2,
                              .K = sizes[n][0],
                              .V = sizes[n][1],
                              .sparse = n % 5 == 4};
        recur_all_cases(&p, &c);
    }
    print_message("%lld cases on %d tables, worst error %.3g of the tolerance, rms %.3g\n", (long long)p.cases,
                  p.n_tables, p.worst, p.worst_rms);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

#define CHECK(name, decay, rule, exclusive)                                                                            \
    static void test_##name(void **unused) {                                                                           \
        (void)unused;                                                                                                  \
        check(decay, rule, exclusive);                                                                                 \
    }

CHECK(additive_none, HY_DECAY_NONE, HY_RULE_ADDITIVE, 0)
CHECK(additive_head, HY_DECAY_HEAD, HY_RULE_ADDITIVE, 0)
CHECK(additive_scalar, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, 0)
CHECK(delta_none, HY_DECAY_NONE, HY_RULE_DELTA, 0)
CHECK(delta_head, HY_DECAY_HEAD, HY_RULE_DELTA, 0)
CHECK(delta_scalar, HY_DECAY_SCALAR, HY_RULE_DELTA, 0)
CHECK(additive_vector, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, 0)
CHECK(exclusive_vector, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, 1)
CHECK(delta_vector, HY_DECAY_VECTOR, HY_RULE_DELTA, 0)

/* h = e^g h + beta x, more channels than a warp has lanes; q and k left out. */
static void test_channels(void **unused) {
    parity p;
    (void)unused;
    assert_int_equal(parity_init(&p), HY_OK);
    if (!parity_keep_cuda(&p))
        skip();
    for (int n = 0; n < 2 * RUN_SHAPES; n++) {
        const recur_case c = {.decay = n % 2 ? HY_DECAY_SCALAR : HY_DECAY_VECTOR,
                              .gate = (gate_strength)(n % GATE_STRENGTHS),
                              .shape = n % RUN_SHAPES,
                              .H = 1,
                              .HV = n % 3 ? 70 : 3,
                              .K = 1,
                              .V = 1,
                              .sparse = n % 5 == 4,
                              .keyless = 1};
        recur_all_cases(&p, &c);
    }
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_additive_none),   cmocka_unit_test(test_additive_head),
        cmocka_unit_test(test_additive_scalar), cmocka_unit_test(test_delta_none),
        cmocka_unit_test(test_delta_head),      cmocka_unit_test(test_delta_scalar),
        cmocka_unit_test(test_additive_vector), cmocka_unit_test(test_exclusive_vector),
        cmocka_unit_test(test_delta_vector),    cmocka_unit_test(test_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
