/* The edit distance against its definition as a recursion, on every pair of short words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/text.h"

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t by_recursion(const char *a, size_t n, const char *b, size_t m) {
    if (n == 0 || m == 0) {
        return (int64_t)(n + m);
    }
    int64_t best = by_recursion(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]);
    best = least(best, by_recursion(a, n - 1, b, m) + 1);
    best = least(best, by_recursion(a, n, b, m - 1) + 1);
    if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1]) {
        best = least(best, by_recursion(a, n - 2, b, m - 2) + 1);
    }
    return best;
}

/* Words over {a, b, c} of up to 4 letters, by number. */
static void word(int number, char out[5]) {
    int n = 0;
    for (; number > 0; number /= 4) {
        if (number % 4 > 0) {
            out[n++] = (char)('a' + number % 4 - 1);
        }
    }
    out[n] = '\0';
}

static void test_distance_by_definition(void **unused) {
    (void)unused;
    for (int i = 0; i < 256; i++) {
        for (int j = 0; j < 256; j += 3) {
            char a[5], b[5];
            word(i, a);
            word(j, b);
            assert_int_equal(hy_text_distance(a, b), by_recursion(a, strlen(a), b, strlen(b)));
        }
    }
}

static void test_known_distances(void **unused) {
    (void)unused;
    assert_int_equal(hy_text_distance("kitten", "sitting"), 3);
    assert_int_equal(hy_text_distance("trian", "train"), 1);
    assert_int_equal(hy_text_distance("", "abc"), 3);
    char a[500], b[500];
    memset(a, 'a', sizeof(a) - 1);
    memset(b, 'b', sizeof(b) - 1);
    a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
    assert_int_equal(hy_text_distance(a, b), 127);
}

static void test_nearest(void **unused) {
    (void)unused;
    const char *const names[] = {"train", "verify", "plan", "learning_rate", "weight_decay", "min_lr_ratio"};
    assert_int_equal(hy_text_nearest("trian", names, 6), 0);
    assert_int_equal(hy_text_nearest("varify", names, 6), 1);
    assert_int_equal(hy_text_nearest("plan", names, 6), 2);
    assert_int_equal(hy_text_nearest("lr", names, 6), 3);
    assert_int_equal(hy_text_nearest("wd", names, 6), 4);
    assert_int_equal(hy_text_nearest("x", names, 0), -1);
    const char *const keys[] = {"min_lr_ratio", "lr"};
    assert_int_equal(hy_text_nearest("learning_rate", keys, 2), 1);
    assert_int_equal(hy_text_dissimilarity("lr", "lr"), 0);
    assert_int_equal(hy_text_dissimilarity("l", "learning"), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance_by_definition),
        cmocka_unit_test(test_known_distances),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
