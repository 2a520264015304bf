/* The kernels of kernels/cuda for log-linear recurrences against cpu_ref in double, in what test_table_parity has not: heads that the
 * recurrence's chunks serve, with states that enter and leave, runs shorter and longer than a chunk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/parity_levels.h"

static void check_rule(hy_rule rule) {
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    if (!parity_keep_cuda(&p))
        skip();
    for (int n = 0; n < 4; n++) {
        const recur_case c = {.decay = (hy_decay)(n % 3),
                              .rule = rule,
                              .gate = (gate_strength)((n + 1) % GATE_STRENGTHS),
                              .shape = n == 1   ? 1
                                       : n == 2 ? 3
                                                : 0,
                              .H = n % 2 ? 1 : 2,
                              .HV = 2,
                              .K = n % 2 ? 32 : 40,
                              .V = n % 2 ? 24 : 7,
                              .sparse = n == 3};
        level_fwd_case(&p, &c);
        level_map_bwd_case(&p, &c);
        level_bwd_case(&p, &c);
    }
    print_message("%lld cases on %d tables, worst error %.3g of the tolerance, of arrays in bf16 %.3g\n",
                  (long long)p.cases, p.n_tables, p.worst, p.worst_rms);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

static void test_additive_levels(void **unused) {
    (void)unused;
    check_rule(HY_RULE_ADDITIVE);
}

static void test_delta_levels(void **unused) {
    (void)unused;
    check_rule(HY_RULE_DELTA);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_additive_levels), cmocka_unit_test(test_delta_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
