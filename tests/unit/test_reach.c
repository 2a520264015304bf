/* What parallel.prune makes of decays and layouts: no fragment is closed that keeps more than the bound, few that keep less are left open. */
#include "sp/lists/lists.h"
#include "sp/reach.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_tokens(void **unused) {
    (void)unused;
    for (double log_decay = -3; log_decay < -1e-7; log_decay *= 0.83) {
        for (double prune = 0.5; prune > 1e-12; prune *= 0.3) {
            const hy_sp_method method = {.state = HY_STATE_RING, .prune = prune};
            const double reach = (double)hy_reach_of(&method, log_decay), least = log(prune) / log_decay;
            assert_true(reach >= least);
            assert_true(reach <= 1.0626 * least + 1);
        }
    }
}

static void test_all_passes(void **unused) {
    (void)unused;
    const hy_sp_method method = {.state = HY_STATE_RING, .prune = 1e-8};
    hy_sp_method other = method;
    assert_true(hy_reach_of(&method, -0.1) > 0);
    assert_int_equal(hy_reach_of(&method, 0), 0); /* a decay that may be 1 */
    other.prune = 0;
    assert_int_equal(hy_reach_of(&other, -0.1), 0);
    other = method;
    other.state = HY_STATE_HEADS; /* no states travel */
    assert_int_equal(hy_reach_of(&other, -0.1), 0);
    assert_int_equal(hy_reach_of(&method, -1e-30), 0);
}

/* 100 tokens as 10, 40, 40, 10 and as 25 each. */
static void test_fragments(void **unused) {
    (void)unused;
    const hy_cuts cuts = {.n = 2, .each = {1, 4}};
    const hy_layout_dims uneven = hy_layout_sizes_cut(HY_LAYOUT_ZIGZAG, &cuts, 2, 0, 3, 100);
    const hy_layout_dims even = hy_layout_sizes(HY_LAYOUT_CONTIGUOUS, 4, 0, 3, 100);
    const hy_sp_method method = {.state = HY_STATE_SCAN, .prune = exp(-3)};
    hy_reach_facts facts = hy_reach_facts_of(&method, &uneven, -0.1);
    assert_int_equal(facts.reach, 31);
    assert_int_equal(facts.fragments, 4);
    assert_int_equal(facts.closed, 2);
    assert_true(facts.bound >= exp(-4) && facts.bound < 1.00001 * exp(-4));
    facts = hy_reach_facts_of(&method, &even, -0.1);
    assert_int_equal(facts.closed, 0);
    assert_true(facts.bound == 0);
    assert_int_equal(hy_reach_among(&uneven, 31), 31);
    assert_int_equal(hy_reach_among(&uneven, 41), 0);
    assert_int_equal(hy_reach_among(&uneven, 10), 1);
    assert_int_equal(hy_reach_among(&even, 25), 1);
    assert_int_equal(hy_reach_among(&even, 26), 0);
}

/* Of the slopes of a deep model few differ in a layout, which has few lists. */
static void test_many_reaches(void **unused) {
    (void)unused;
    static hy_lists_needs needs, unknown;
    needs.frag_min = 900;
    needs.frag_max = 1000;
    for (int64_t reach = 1; reach < 4000; reach += 20) {
        hy_lists_need_reach(&needs, reach);
    }
    assert_int_equal(needs.status, HY_OK);
    assert_int_equal(needs.reaches.n, 2 + 5); /* none, all; 901 to 981 */
    for (int64_t reach = 1; reach <= HY_LISTS_MAX; reach++) {
        hy_lists_need_reach(&unknown, reach);
    }
    assert_int_equal(unknown.reaches.n, HY_LISTS_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens), cmocka_unit_test(test_all_passes),
                                       cmocka_unit_test(test_fragments), cmocka_unit_test(test_many_reaches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
