/* Numbers for people: units, borders between them, and doubles that must read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"

static void test_bytes(void **unused) {
    (void)unused;
    assert_string_equal(hy_text_bytes(0.0).s, "0 B");
    assert_string_equal(hy_text_bytes(512.0).s, "512 B");
    assert_string_equal(hy_text_bytes(1023.0).s, "1023 B");
    assert_string_equal(hy_text_bytes(1024.0).s, "1.00 KiB");
    assert_string_equal(hy_text_bytes(1.5 * 1024 * 1024 * 1024).s, "1.50 GiB");
    assert_string_equal(hy_text_bytes(10.0 * 1024).s, "10.0 KiB");
    assert_string_equal(hy_text_bytes(9.996 * 1024).s, "10.0 KiB");
    assert_string_equal(hy_text_bytes(100.0 * 1024).s, "100 KiB");
    assert_string_equal(hy_text_bytes(1023.9 * 1024).s, "1.00 MiB");
    assert_string_equal(hy_text_bytes(-2048.0).s, "-2.00 KiB");
    assert_string_equal(hy_text_bytes(INFINITY).s, "inf");
    assert_string_equal(hy_text_bytes(-INFINITY).s, "-inf");
    assert_string_equal(hy_text_bytes(NAN).s, "nan");
}

static void test_counts_and_rates(void **unused) {
    (void)unused;
    assert_string_equal(hy_text_count(950.0).s, "950");
    assert_string_equal(hy_text_count(0.25).s, "0.25");
    assert_string_equal(hy_text_count(1200000.0).s, "1.20 M");
    assert_string_equal(hy_text_count(999600.0).s, "1.00 M");
    assert_string_equal(hy_text_count(340e9).s, "340 G");
    assert_string_equal(hy_text_rate(1234.0, "tokens").s, "1.23 k tokens/s");
    assert_string_equal(hy_text_rate(12.5, "steps").s, "12.5 steps/s");
    assert_string_equal(hy_text_byte_rate(1.5 * 1024 * 1024).s, "1.50 MiB/s");
}

static void test_durations(void **unused) {
    (void)unused;
    assert_string_equal(hy_text_duration(0.0).s, "0 s");
    assert_string_equal(hy_text_duration(3.2e-9).s, "3.20 ns");
    assert_string_equal(hy_text_duration(12e-6).s, "12.0 us");
    assert_string_equal(hy_text_duration(0.25).s, "250 ms");
    assert_string_equal(hy_text_duration(0.99949).s, "999 ms");
    assert_string_equal(hy_text_duration(0.9996).s, "1.00 s");
    assert_string_equal(hy_text_duration(59.0).s, "59.0 s");
    assert_string_equal(hy_text_duration(59.7).s, "1m00s");
    assert_string_equal(hy_text_duration(192.4).s, "3m12s");
    assert_string_equal(hy_text_duration(3599.9).s, "1h00m");
    assert_string_equal(hy_text_duration(7500.0).s, "2h05m");
    assert_string_equal(hy_text_duration(97200.0).s, "1d03h");
    assert_string_equal(hy_text_duration(-75.0).s, "-1m15s");
    assert_string_equal(hy_text_duration(INFINITY).s, "inf");
    assert_string_equal(hy_text_duration(NAN).s, "nan");
}

static void test_doubles_read_back(void **unused) {
    (void)unused;
    assert_string_equal(hy_text_double(0.1).s, "0.1");
    assert_string_equal(hy_text_double(3e-4).s, "0.0003");
    assert_string_equal(hy_text_double(1.0).s, "1");
    assert_string_equal(hy_text_double(-0.0).s, "-0");
    assert_string_equal(hy_text_double(1.0 / 3.0).s, "0.3333333333333333");
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t bits = hy_random_u64(3, 1, i);
        double value = 0.0;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value)) {
            assert_true(strtod(hy_text_double(value).s, NULL) == value);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_counts_and_rates),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_doubles_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
