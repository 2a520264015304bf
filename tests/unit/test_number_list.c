#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/number_list.h"

static bool bit(const void *context, int i) {
    return *(const uint64_t *)context >> i & 1;
}

static void expect(uint64_t bits, size_t size, int count, const char *wanted) {
    char text[64];
    assert_int_equal(hy_number_list(64, bit, &bits, text, size), count);
    assert_string_equal(text, wanted);
}

static void test_runs(void **state) {
    (void)state;
    expect(0, 64, 0, "");
    expect(1, 64, 1, "0");
    expect(0x10f, 64, 5, "0-3,8");
    expect(0x3, 64, 2, "0,1");
    expect(~(uint64_t)0, 64, 64, "0-63");
    expect((uint64_t)1 << 63, 64, 1, "63");
}

static void test_little_room(void **state) {
    (void)state;
    expect(0x55555555, 12, 16, "0,2,4,6,...");
    expect(0x15, 12, 3, "0,2,4");
    expect(0xff00000000000011 | (uint64_t)1 << 50, 16, 11,
           "0,4,50,..."); /* nothing behind the dots, though it were short */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs), cmocka_unit_test(test_little_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
