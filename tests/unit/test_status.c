/* Status codes are exit codes: their values are part of the program's interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/status.h"

static void test_values_are_the_exit_codes(void **unused) {
    (void)unused;
    assert_int_equal(HY_OK, 0);
    assert_int_equal(HY_ERR_USAGE, 2);
    assert_int_equal(HY_ERR_ENV, 3);
    assert_int_equal(HY_ERR_DATA, 4);
    assert_int_equal(HY_ERR_CHECKPOINT, 5);
    assert_int_equal(HY_ERR_MEMORY, 6);
    assert_int_equal(HY_ERR_NOT_FINITE, 7);
    assert_int_equal(HY_ERR_COMM, 8);
    assert_int_equal(HY_ERR_VERIFY, 9);
    assert_int_equal(HY_STOPPED, 75);
}

static void test_every_code_has_its_own_name(void **unused) {
    (void)unused;
    for (int a = 0; a <= HY_ERR_PEER; a++) {
        assert_string_not_equal(hy_status_name((hy_status)a), "unknown");
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(hy_status_name((hy_status)a), hy_status_name((hy_status)b));
        }
    }
    assert_string_equal(hy_status_name(HY_STOPPED), "stopped");
    assert_string_equal(hy_status_name((hy_status)1234), "unknown");
}

static int calls;

static hy_status count_and_return(hy_status status) {
    calls++;
    return status;
}

static hy_status try_three(hy_status second) {
    HY_TRY(count_and_return(HY_OK));
    HY_TRY(count_and_return(second));
    HY_TRY(count_and_return(HY_OK));
    return HY_OK;
}

static void test_try_stops_at_the_first_failure(void **unused) {
    (void)unused;
    calls = 0;
    assert_int_equal(try_three(HY_OK), HY_OK);
    assert_int_equal(calls, 3);
    calls = 0;
    assert_int_equal(try_three(HY_ERR_DATA), HY_ERR_DATA);
    assert_int_equal(calls, 2);
}

static void test_fail_returns_its_status(void **unused) {
    (void)unused;
    hy_log_set_level(HY_LOG_NONE);
    assert_int_equal(hy_fail(HY_ERR_COMM, "not shown %d", 1), HY_ERR_COMM);
    hy_log_set_level(HY_LOG_INFO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_the_exit_codes),
        cmocka_unit_test(test_every_code_has_its_own_name),
        cmocka_unit_test(test_try_stops_at_the_first_failure),
        cmocka_unit_test(test_fail_returns_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
