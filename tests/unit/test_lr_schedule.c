#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "train/run/lr_schedule.h"

static void near(double a, double b) {
    assert_true(fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b)));
}

static void values(void **state) {
    (void)state;
    const hy_lr_schedule schedule = {.lr = 2e-3, .min_lr_ratio = 0.1, .warmup = 10, .steps = 110};
    near(hy_lr_schedule_at(&schedule, 1), 2e-4);
    near(hy_lr_schedule_at(&schedule, 10), 2e-3);
    near(hy_lr_schedule_at(&schedule, 60), 2e-3 * 0.55);
    near(hy_lr_schedule_at(&schedule, 35), 2e-3 * (0.1 + 0.9 * (2.0 + sqrt(2.0)) / 4.0));
    near(hy_lr_schedule_at(&schedule, 110), 2e-4);
    near(hy_lr_schedule_at(&schedule, 1000), 2e-4);
    for (int64_t step = 11; step <= 110; step++) {
        assert_true(hy_lr_schedule_at(&schedule, step) < hy_lr_schedule_at(&schedule, step - 1));
    }
}

static void edges(void **state) {
    (void)state;
    const hy_lr_schedule none = {.lr = 1.0, .min_lr_ratio = 0.0, .warmup = 0, .steps = 1};
    near(hy_lr_schedule_at(&none, 1), 0.0);
    const hy_lr_schedule only_warmup = {.lr = 1.0, .min_lr_ratio = 0.5, .warmup = 100, .steps = 4};
    near(hy_lr_schedule_at(&only_warmup, 4), 0.04);
    const hy_lr_schedule all = {.lr = 1.0, .min_lr_ratio = 0.5, .warmup = 4, .steps = 4};
    near(hy_lr_schedule_at(&all, 4), 1.0);
    near(hy_lr_schedule_at(&all, 5), 0.5);
}

static void constant_and_wsd(void **state) {
    (void)state;
    const hy_lr_schedule constant = {.kind = HY_LR_CONSTANT, .lr = 2.0, .min_lr_ratio = 0.1, .warmup = 4, .steps = 100};
    near(hy_lr_schedule_at(&constant, 1), 0.5);
    near(hy_lr_schedule_at(&constant, 4), 2.0);
    near(hy_lr_schedule_at(&constant, 5), 2.0);
    near(hy_lr_schedule_at(&constant, 100), 2.0);
    near(hy_lr_schedule_at(&constant, 101), 2.0);
    const hy_lr_schedule wsd = {
        .kind = HY_LR_WSD, .lr = 2.0, .min_lr_ratio = 0.1, .warmup = 4, .decay = 20, .steps = 100};
    near(hy_lr_schedule_at(&wsd, 2), 1.0);
    near(hy_lr_schedule_at(&wsd, 5), 2.0);
    near(hy_lr_schedule_at(&wsd, 80), 2.0);
    near(hy_lr_schedule_at(&wsd, 81), 2.0 * (0.1 + 0.9 * 19 / 20));
    near(hy_lr_schedule_at(&wsd, 90), 2.0 * 0.55);
    near(hy_lr_schedule_at(&wsd, 100), 0.2);
    near(hy_lr_schedule_at(&wsd, 1000), 0.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(constant_and_wsd), cmocka_unit_test(values),
                                       cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
