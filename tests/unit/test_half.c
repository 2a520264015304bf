/* 16-bit conversions against arithmetic: every half widens to the value its fields define, and narrowing picks the nearest one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/half.h"
#include "base/random.h"

static double f16_value(uint16_t h) {
    int exponent = (h >> 10) & 31, mantissa = h & 1023;
    double x = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000 ? -x : x;
}

static void test_f16_widens_exactly(void **unused) {
    (void)unused;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = hy_f16_to_float((uint16_t)h);
        if ((h & 0x7c00u) == 0x7c00u)
            assert_true((h & 0x3ffu) ? isnan(x) : isinf(x));
        else
            assert_true((double)x == f16_value((uint16_t)h));
        if (!isnan(x))
            assert_int_equal(hy_float_to_f16(x), h);
    }
    assert_true(isnan(hy_f16_to_float(hy_float_to_f16(NAN))));
}

/* Nearest even by search among neighbours: the two halves around x, compared by distance, then by their last bit. */
static void test_f16_rounds_to_nearest_even(void **unused) {
    (void)unused;
    for (uint64_t i = 0; i < 100000; i++) {
        float x = (float)(hy_random_normal(1, 1, i) * pow(2, 34 * hy_random_uniform(1, 2, i) - 28));
        uint16_t h = hy_float_to_f16(x);
        if ((h & 0x7fffu) >= 0x7c00u) {
            assert_true(fabsf(x) >= 65520.0f);
            continue;
        }
        double off = fabs((double)x - f16_value(h));
        for (int step = -1; step <= 1; step += 2) {
            uint16_t other = (uint16_t)(h + step);
            if (((h ^ other) & 0x8000u) || (other & 0x7c00u) == 0x7c00u)
                continue;
            double other_off = fabs((double)x - f16_value(other));
            assert_true(off < other_off || (off == other_off && (h & 1u) == 0));
        }
    }
    assert_int_equal(hy_float_to_f16(65519.996f), 0x7bff);
    assert_int_equal(hy_float_to_f16(-65520.0f), 0xfc00);
}

static void test_bf16(void **unused) {
    (void)unused;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = hy_bf16_to_float((uint16_t)h);
        if (isnan(x))
            assert_true(isnan(hy_bf16_to_float(hy_float_to_bf16(x))));
        else
            assert_int_equal(hy_float_to_bf16(x), h);
    }
    assert_int_equal(hy_float_to_bf16(1.00390625f), 0x3f80); /* 1 + 2^-8: halfway, to even */
    assert_int_equal(hy_float_to_bf16(1.01171875f), 0x3f82); /* 1 + 3·2^-8: halfway, to even */
    assert_int_equal(hy_float_to_bf16(1.0039063692f), 0x3f81);
    assert_int_equal(hy_float_to_bf16(3.4e38f), 0x7f80);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_widens_exactly),
        cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
