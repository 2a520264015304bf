/* The step line and the bar: what they say, and that they fit a terminal of 80 columns whatever the figures are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tests/unit/capture.h"
#include "train/run/console.h"

static void usual_line(void **unused) {
    (void)unused;
    const hy_step_result result = {.loss = 2.91561, .grad_norm = 0.768, .lr = 9.4e-3};
    const hy_step_rates rates = {.tokens_per_second = 13800.0, .mfu = 0.524, .exposed = 0.004};
    assert_string_equal(hy_console_step_line(40, 40, &result, &rates, NULL).s,
                        "step 40/40 loss 2.9156 grad 0.768 lr 0.0094 13.8k tok/s mfu 52% exposed 0.4%");
    assert_string_equal(hy_console_step_line(1234, 4000, &result, &rates, "3m12s").s,
                        "step 1234/4000 loss 2.9156 grad 0.768 lr 0.0094 13.8k tok/s eta 3m12s mfu 52%");
    const hy_step_rates unseen = {.tokens_per_second = 13800.0, .mfu = 0.524, .exposed = (double)NAN};
    assert_string_equal(hy_console_step_line(40, 40, &result, &unseen, NULL).s,
                        "step 40/40 loss 2.9156 grad 0.768 lr 0.0094 13.8k tok/s mfu 52% exposed -");
}

static void check_line(int64_t last, double size, bool skipped, const char *eta) {
    const hy_step_result result = {
        .loss = 11.0932 * size, .grad_norm = 123.456 * size, .lr = 2.93e-5, .skipped = skipped};
    const hy_step_rates rates = {.tokens_per_second = 123.4 * size, .mfu = 0.99, .exposed = 0.99};
    const char *line = hy_console_step_line(last - 1, last, &result, &rates, eta).s;
    if (strlen(line) > 80) {
        fail_msg("%zu columns: %s", strlen(line), line);
    }
    assert_contains(line, "loss ");
    assert_contains(line, "grad ");
    assert_contains(line, "lr ");
    assert_contains(line, "tok/s");
    assert_true((strstr(line, "SKIPPED") != NULL) == skipped);
    assert_true(eta == NULL || last > 1000000 || size > 5.0 || strstr(line, "eta ") != NULL);
}

static void every_line_fits(void **unused) {
    (void)unused;
    static const char *const etas[] = {NULL, "0 s", "12.3 ms", "59m59s", "23h59m", "9999d23h"};
    for (int64_t last = 2; last <= 10000000; last *= 10) {
        for (double size = 1e-3; size < 1e12; size *= 10.0) {
            for (size_t e = 0; e < sizeof etas / sizeof etas[0]; e++) {
                check_line(last, size, false, etas[e]);
                check_line(last, (double)NAN, true, etas[e]);
            }
        }
    }
}

static void bar_shows_the_whole_run(void **unused) {
    (void)unused;
    static const char half[] = "[####################....................]  50%  eta 3m12s";
    assert_string_equal(hy_console_bar_line(50, 100, "3m12s").s, half); /* wherever this process began */
    assert_contains(hy_console_bar_line(0, 100, "0 s").s, "[........................................]   0%");
    assert_contains(hy_console_bar_line(100, 100, "0 s").s, "[########################################] 100%");
    assert_true(strlen(hy_console_bar_line(100, 100, "9999d23h").s) <= 80);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(usual_line), cmocka_unit_test(every_line_fits),
                                       cmocka_unit_test(bar_shows_the_whole_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
