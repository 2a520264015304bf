/* The clock runs forward, in seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static void test_never_backwards(void **unused) {
    (void)unused;
    double previous = hy_now();
    for (int i = 0; i < 100000; i++) {
        const double now = hy_now();
        assert_true(now >= previous);
        previous = now;
    }
}

/* Against the wall clock: the unit is the second. Other processes may stretch a measurement, never shorten it. */
static void test_unit_is_the_second(void **unused) {
    (void)unused;
    const double coarse = hy_now_coarse(), start = hy_now();
    assert_true(coarse <= start && coarse > start - 1.0);
    struct timespec first, now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &first), 0);
    double elapsed = 0.0;
    while (elapsed < 0.02) {
        assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
        elapsed = (double)(now.tv_sec - first.tv_sec) + 1e-9 * (double)(now.tv_nsec - first.tv_nsec);
    }
    const double measured = hy_now() - start;
    assert_true(measured >= elapsed * 0.999 && measured < elapsed + 10.0);
}

static void test_utc_reads_back(void **unused) {
    (void)unused;
    struct tm read = {0};
    const time_t before = time(NULL);
    const hy_utc text = hy_utc_time();
    const char *end = strptime(text.s, "%Y-%m-%dT%H:%M:%SZ", &read);
    assert_non_null(end);
    assert_string_equal(end, "");
    assert_in_range(timegm(&read), before, before + 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_backwards),
        cmocka_unit_test(test_unit_is_the_second),
        cmocka_unit_test(test_utc_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
