/* Spans of a step that is paused are not begun, one that was begun before can end; the interval of a median. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"
#include "launch/bench/span_cost.h"

static void test_pause(void **state) {
    (void)state;
    hy_span ring[4];
    hy_spans_record(ring, 4);
    const int64_t before = hy_span_begin(HY_SPAN_WORK, "before");
    hy_spans_pause(true);
    assert_false(hy_spans_are_recorded());
    const int64_t paused = hy_span_begin(HY_SPAN_WORK, "paused");
    hy_span_end(paused);
    hy_span_end(before);
    assert_int_equal(paused, 0);
    assert_int_equal(hy_spans_count(), 1);
    assert_true(hy_span_of(before)->end >= hy_span_of(before)->begin && hy_span_of(before)->end > 0);
    hy_spans_pause(false);
    assert_int_equal(hy_span_begin(HY_SPAN_WORK, "after"), 2);
    hy_spans_record(NULL, 0);
}

/* `n` ratios 1 to n, in another order; wanted: the median, and values k and n + 1 - k (tables of order statistics). */
static void check(int64_t n, double median, double low) {
    double ratios[128];
    hy_span_cost cost = {.ratios = ratios, .pairs = n};
    for (int64_t i = 0; i < n; i++) {
        hy_span_cost_add(&cost, (double)(1 + i * 7 % n), 1.0);
    }
    const hy_span_cost_result of = hy_span_cost_of(&cost);
    assert_true(of.median == median);
    assert_true(of.low == low);
    assert_true(of.high == (double)(n + 1) - low);
}

static void test_interval(void **state) {
    (void)state;
    check(HY_SPAN_PAIRS_MIN, 3.5, 1); /* 97% */
    check(15, 8, 4);                  /* binomial: 4 and 12 hold it with 96% */
    check(100, 50.5, 40);             /* 40 and 61: 96% */
    check(120, 60.5, 49);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pause), cmocka_unit_test(test_interval)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
