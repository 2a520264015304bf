/* The recurrences of every table against cpu_ref in double: all decays, rules and run shapes over key and value sizes
 * around and between vector lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/parity_recur.h"

static const int64_t sizes[][2] = {{1, 1},   {3, 16},   {16, 24},  {24, 3},    {64, 64},  {1, 64},  {80, 16},
                                   {16, 80}, {64, 128}, {128, 64}, {128, 128}, {153, 24}, {3, 153}, {80, 80}};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* Each (decay, rule, size) meets two run shapes and two gates; over the sizes every combination of these comes up. */
static void check(hy_decay decay, hy_rule rule) {
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < 2; j++) {
            const size_t n = 2 * i + j;
            const int grouped = n / 3 % 2 == 0;
            const recur_case c = {.decay = decay,
                                  .rule = rule,
                                  .gate = (gate_strength)(n % GATE_STRENGTHS),
                                  .shape = (int)(n % RUN_SHAPES),
                                  .H = grouped ? 1 : 2,
                                  .HV = grouped ? 3 : 2,
                                  .K = sizes[i][0],
                                  .V = sizes[i][1],
                                  .sparse = n % 5 == 4};
            recur_all_cases(&p, &c);
        }
    }
    print_message("%lld cases on %d tables, worst error %.3g of the tolerance\n", (long long)p.cases, p.n_tables,
                  p.worst);
    assert_int_equal(p.failures, 0);
}

#define CHECK(name, decay, rule)                                                                                       \
    static void test_##name(void **unused) {                                                                           \
        (void)unused;                                                                                                  \
        check(decay, rule);                                                                                            \
    }

CHECK(additive_none, HY_DECAY_NONE, HY_RULE_ADDITIVE)
CHECK(additive_head, HY_DECAY_HEAD, HY_RULE_ADDITIVE)
CHECK(additive_scalar, HY_DECAY_SCALAR, HY_RULE_ADDITIVE)
CHECK(additive_vector, HY_DECAY_VECTOR, HY_RULE_ADDITIVE)
CHECK(delta_none, HY_DECAY_NONE, HY_RULE_DELTA)
CHECK(delta_head, HY_DECAY_HEAD, HY_RULE_DELTA)
CHECK(delta_scalar, HY_DECAY_SCALAR, HY_RULE_DELTA)
CHECK(delta_vector, HY_DECAY_VECTOR, HY_RULE_DELTA)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_additive_none),   cmocka_unit_test(test_additive_head),
        cmocka_unit_test(test_additive_scalar), cmocka_unit_test(test_additive_vector),
        cmocka_unit_test(test_delta_none),      cmocka_unit_test(test_delta_head),
        cmocka_unit_test(test_delta_scalar),    cmocka_unit_test(test_delta_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
