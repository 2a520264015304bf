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

/* Each (decay, rule, size) meets two run shapes and two gates, exclusive and dplr one; over the sizes every combination
 * of these comes up. */
static void check(hy_decay decay, hy_rule rule, int exclusive) {
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < (exclusive || rule == HY_RULE_DPLR ? 1 : 2); j++) {
            const size_t n = 2 * i + j;
            const int grouped = n / 3 % 2 == 0;
            const recur_case c = {.decay = decay,
                                  .rule = rule,
                                  .exclusive = exclusive,
                                  .gate = (gate_strength)(n % GATE_STRENGTHS),
                                  .shape = (int)(n % RUN_SHAPES),
                                  .H = grouped ? 1 : 2,
                                  .HV = grouped ? 3 : 2,
                                  .K = sizes[i][0],
                                  .V = sizes[i][1],
                                  .sparse = n % 5 == 4};
            for (int k = 0; k < RECUR_OPERATIONS; k++) {
                parity_rest_host(&p, p.cases % 7 != 0); /* prime to the number of operations */
                recur_operations[k](&p, &c);
            }
        }
    }
    print_message("%lld cases on %d tables, worst error %.3g of the tolerance, of arrays in bf16 %.3g\n",
                  (long long)p.cases, p.n_tables, p.worst, p.worst_rms);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

/* Keys that share a direction and betas up to 2 make the delta rule's triangular system ill-conditioned: what its matrix is off by
 * comes back multiplied. */
static void test_delta_of_like_keys(void **unused) {
    (void)unused;
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_SCALAR; decay++) {
        const recur_case c = {.decay = (hy_decay)decay,
                              .rule = HY_RULE_DELTA,
                              .shape = 5,
                              .H = 1,
                              .HV = 2,
                              .K = 64,
                              .V = 48,
                              .beta_high = 1.9,
                              .shared_keys = 0.8};
        recur_fwd_case(&p, &c);
        recur_bwd_case(&p, &c);
    }
    print_message("%lld cases on %d tables, worst error %.3g of the tolerance, of arrays in bf16 %.3g\n",
                  (long long)p.cases, p.n_tables, p.worst, p.worst_rms);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

#define CHECK(name, decay, rule, exclusive)                                                                            \
    static void test_##name(void **unused) {                                                                           \
        (void)unused;                                                                                                  \
        check(decay, rule, exclusive);                                                                                 \
    }

#define EACH_DECAY(name, rule, exclusive)                                                                              \
    CHECK(name##_none, HY_DECAY_NONE, rule, exclusive)                                                                 \
    CHECK(name##_head, HY_DECAY_HEAD, rule, exclusive)                                                                 \
    CHECK(name##_scalar, HY_DECAY_SCALAR, rule, exclusive)                                                             \
    CHECK(name##_vector, HY_DECAY_VECTOR, rule, exclusive)

EACH_DECAY(additive, HY_RULE_ADDITIVE, 0)
EACH_DECAY(exclusive, HY_RULE_ADDITIVE, 1)
EACH_DECAY(delta, HY_RULE_DELTA, 0)
EACH_DECAY(dplr, HY_RULE_DPLR, 0)

#define TESTS(name)                                                                                                    \
    cmocka_unit_test(test_##name##_none), cmocka_unit_test(test_##name##_head),                                        \
        cmocka_unit_test(test_##name##_scalar), cmocka_unit_test(test_##name##_vector)

int main(void) {
    const struct CMUnitTest tests[] = {TESTS(additive), TESTS(exclusive), TESTS(delta), TESTS(dplr),
                                       cmocka_unit_test(test_delta_of_like_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
