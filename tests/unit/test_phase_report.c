/* Every operation is told apart by what it is for, and the table of times shows what the device and the exchanges
 * counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/unit/capture.h"
#include "train/run/op_group.h"
#include "train/run/phase_report.h"

static void every_operation_has_a_group(void **unused) {
    (void)unused;
    int members[HY_GROUP_COUNT] = {0};
    for (int op = 0; op < HY_OP_COUNT; op++) {
        const hy_op_group group = hy_op_group_of((hy_op_id)op);
        if (group >= HY_GROUP_COUNT) {
            fail_msg("%s has no group", hy_op_name((hy_op_id)op));
        }
        members[group]++;
    }
    for (int g = 0; g < HY_GROUP_COUNT; g++) {
        assert_non_null(hy_op_group_name((hy_op_group)g));
        assert_true(members[g] > 0);
    }
    assert_int_equal(hy_op_group_of(HY_OP_COUNT), HY_GROUP_COUNT);
}

/* Names that belong together, whoever adds to them. */
static void families_stay_together(void **unused) {
    (void)unused;
    static const struct {
        const char *prefix;
        hy_op_group group;
    } families[] = {
        {"recur", HY_GROUP_RECURRENCE},    {"level", HY_GROUP_RECURRENCE},      {"map_", HY_GROUP_RECURRENCE},
        {"attn", HY_GROUP_ATTENTION},      {"conv", HY_GROUP_CONVOLUTION},      {"long_conv", HY_GROUP_CONVOLUTION},
        {"rmsnorm", HY_GROUP_ELEMENTWISE}, {"layernorm", HY_GROUP_ELEMENTWISE}, {"gemm", HY_GROUP_PRODUCTS}};
    for (int op = 0; op < HY_OP_COUNT; op++) {
        const char *name = hy_op_name((hy_op_id)op);
        for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
            if (strncmp(name, families[i].prefix, strlen(families[i].prefix)) == 0 &&
                hy_op_group_of((hy_op_id)op) != families[i].group) {
                fail_msg("%s counts as %s", name, hy_op_group_name(hy_op_group_of((hy_op_id)op)));
            }
        }
    }
}

/* The whole table as text. */
static const char *report(hy_device *device, const hy_phase_seconds *seconds) {
    hy_comm *self = NULL;
    assert_int_equal(hy_comm_self_create(&self), HY_OK);
    capture_stdout_begin();
    const hy_status status = hy_phase_report(self, device, seconds);
    const char *text = capture_stdout_end();
    hy_comm_destroy(self);
    assert_int_equal(status, HY_OK);
    return text;
}

static void log_linear_time_is_recurrence(void **unused) {
    (void)unused;
    hy_device *device;
    const hy_phase_seconds seconds = {.total = 10.0};
    assert_int_equal(hy_device_create("cpu_ref", HY_F32, &device), HY_OK);
    hy_device_counts(device)->seconds[HY_OP_level_fwd] = 2.0;
    hy_device_counts(device)->seconds[HY_OP_level_bwd] = 3.0;
    const char *text = report(device, &seconds);
    assert_contains(text, "linear recurrences   5.000   5.000   5.000   50.0%");
    assert_contains(text, "the rest             5.000");
    assert_null(strstr(text, "norms"));
    hy_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_operation_has_a_group),
                                       cmocka_unit_test(families_stay_together),
                                       cmocka_unit_test(log_linear_time_is_recurrence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
