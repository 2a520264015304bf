/* Counts with units: what each spelling means, what is refused, and agreement with 128-bit arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/random.h"

static int64_t value_of(const char *text) {
    int64_t value = -77;
    if (!hy_count_parse(text, &value)) {
        fail_msg("refused: %s", text);
    }
    return value;
}

static void test_spellings(void **unused) {
    (void)unused;
    assert_int_equal(value_of("0"), 0);
    assert_int_equal(value_of("-0"), 0);
    assert_int_equal(value_of("+12"), 12);
    assert_int_equal(value_of("-7"), -7);
    assert_int_equal(value_of("007"), 7);
    assert_int_equal(value_of("1_000_000"), 1000000);
    assert_int_equal(value_of("32k"), 32000);
    assert_int_equal(value_of("32Ki"), 32768);
    assert_int_equal(value_of("32ki"), 32768);
    assert_int_equal(value_of("1M"), 1000000);
    assert_int_equal(value_of("1Mi"), 1048576);
    assert_int_equal(value_of("2G"), 2000000000);
    assert_int_equal(value_of("2Gi"), 2147483648);
    assert_int_equal(value_of("1T"), 1000000000000);
    assert_int_equal(value_of("1Ti"), 1099511627776);
    assert_int_equal(value_of("1e3"), 1000);
    assert_int_equal(value_of("1E03"), 1000);
    assert_int_equal(value_of("5e0"), 5);
    assert_int_equal(value_of("1.5k"), 1500);
    assert_int_equal(value_of("1.5e3"), 1500);
    assert_int_equal(value_of("0.5Ki"), 512);
    assert_int_equal(value_of("1.0"), 1);
    assert_int_equal(value_of("1.50000000000000000000000000000000k"), 1500);
    assert_int_equal(value_of("-1.5Mi"), -1572864);
}

static void test_ends_of_the_range(void **unused) {
    (void)unused;
    int64_t value = 5;
    assert_true(value_of("9223372036854775807") == INT64_MAX);
    assert_true(value_of("-9223372036854775808") == INT64_MIN);
    assert_true(value_of("9.223372036854775807e18") == INT64_MAX);
    assert_true(value_of("8388607Ti") == INT64_C(8388607) << 40);
    static const char *const beyond[] = {"9223372036854775808",
                                         "-9223372036854775809",
                                         "8388608Ti",
                                         "1e19",
                                         "10e18",
                                         "9223373T",
                                         "99999999999999999999999999",
                                         "1e100",
                                         "1e99999999999999999999"};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        if (hy_count_parse(beyond[i], &value)) {
            fail_msg("accepted: %s", beyond[i]);
        }
    }
    assert_int_equal(value, 5);
}

static void test_refused(void **unused) {
    (void)unused;
    static const char *const wrong[] = {
        "",    " ",      "1 ",     " 1",  "-",    "+",    "--1",  "1.5",  "1.3Ki", "1.0005k", "1.",  ".5k",  "1.k",
        "32K", "1m",     "1kk",    "1kB", "1Kib", "1e",   "1e+3", "1e-3", "1e3k",  "1k3",     "0x1", "1__0", "_1",
        "1_",  "1.5_0k", "1.2.3k", "inf", "nan",  "many", "1\n",  "e3",   "k",     "1e3.0",   "1_k", "1i",   "1.5e0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t value = 5;
        if (hy_count_parse(wrong[i], &value)) {
            fail_msg("accepted: '%s' as %lld", wrong[i], (long long)value);
        }
        assert_int_equal(value, 5);
    }
}

/* whole.fraction unit against (whole·10^d + fraction)·unit / 10^d. */
static void test_against_wide_arithmetic(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        int64_t factor;
    } units[] = {{"", 1},           {"k", 1000},        {"Ki", 1024},         {"M", 1000000},        {"Mi", 1048576},
                 {"G", 1000000000}, {"Gi", 1073741824}, {"T", 1000000000000}, {"Ti", 1099511627776}, {"e5", 100000}};
    int accepted = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        const uint64_t a = hy_random_u64(1, 1, i), b = hy_random_u64(1, 2, i), c = hy_random_u64(1, 3, i);
        const int decimals = (int)(c % 7), unit = (int)(c / 7 % 10), negative = (int)(c / 70 % 2);
        int64_t power = 1;
        for (int d = 0; d < decimals; d++) {
            power *= 10;
        }
        const int64_t whole = (int64_t)(a >> (40 + c / 140 % 20)),
                      fraction = (int64_t)(b % (uint64_t)power) / (b >> 60 & 1 ? 1 : 5) * 5 % power;
        char text[64], point[32] = "";
        if (decimals > 0) {
            (void)snprintf(point, sizeof point, ".%0*lld", decimals, (long long)fraction);
        }
        (void)snprintf(text, sizeof text, "%s%lld%s%s", negative ? "-" : "", (long long)whole, point, units[unit].text);
        const __int128 product = ((__int128)whole * power + fraction) * units[unit].factor;
        const __int128 expected = (negative ? -1 : 1) * (product / power);
        const bool good = product % power == 0 && expected >= INT64_MIN && expected <= INT64_MAX;
        int64_t value = 0;
        if (hy_count_parse(text, &value) != good || (good && value != (int64_t)expected)) {
            fail_msg("%s: %s, read as %lld", text, good ? "a count" : "no count", (long long)value);
        }
        accepted += good;
    }
    assert_in_range(accepted, 20000, 180000);
}

/* Any bytes: refused, or a value that reads back from its plain digits. */
static void test_any_text(void **unused) {
    (void)unused;
    static const char alphabet[] = "0123456789019.e_kKMGTi+- Bx";
    for (uint64_t i = 0; i < 300000; i++) {
        char text[12], plain[32];
        uint64_t bits = hy_random_u64(2, 1, i), more = hy_random_u64(2, 2, i);
        const size_t length = bits % 11;
        for (size_t k = 0; k < length; k++, more /= sizeof alphabet) {
            text[k] = alphabet[more % (sizeof alphabet - 1)];
        }
        text[length] = '\0';
        int64_t value = 0, again = 1;
        if (hy_count_parse(text, &value)) {
            (void)snprintf(plain, sizeof plain, "%lld", (long long)value);
            assert_true(hy_count_parse(plain, &again) && again == value);
        }
    }
}

static void test_lists(void **unused) {
    static const char *const wrong[] = {
        "",        ",",    "8,",
        ",8",      "8,,9", "8;9",
        "1,2,3,4", "8,x",  "1,0000000000000000000000000000000000000000000000000000000000000000000000002"};
    int64_t list[3];
    int n = 0;
    (void)unused;
    assert_true(hy_count_list_parse("8,16,32Ki", list, 3, &n));
    assert_int_equal(n, 3);
    assert_true(list[0] == 8 && list[1] == 16 && list[2] == 32768);
    assert_true(hy_count_list_parse("-1", list, 3, &n));
    assert_true(n == 1 && list[0] == -1);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (hy_count_list_parse(wrong[i], list, 3, &n)) {
            fail_msg("taken: %s", wrong[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_ends_of_the_range),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_against_wide_arithmetic),
        cmocka_unit_test(test_any_text),  cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
