/* No entry of any table is NULL, for either element type and every instruction set; names, choice and refusal of
 * tables; what the dispatchers count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/device_internal.h"

static void check_complete(const char *name, hy_dtype dtype) {
    hy_device *device;
    assert_int_equal(hy_device_create(name, dtype, &device), HY_OK);
    assert_string_equal(hy_device_profile(device)->name, name);
    assert_non_null(hy_device_profile(device)->detail);
    assert_int_equal(hy_device_profile(device)->dtype, dtype);
    assert_true(hy_device_profile(device)->recur_work != NULL);
    assert_true(hy_device_profile(device)->level_work != NULL);
    assert_true(hy_device_profile(device)->attn_work != NULL);
    assert_true(hy_device_profile(device)->long_conv_work != NULL);
#define HY_X(op, args)                                                                                                 \
    assert_true(device->table.op != NULL);                                                                             \
    assert_true(hy_device_counts(device)->seconds[HY_OP_##op] == 0.0);                                                 \
    assert_true(hy_device_counts(device)->calls[HY_OP_##op] == 0);
    HY_OPS(HY_X)
#undef HY_X
    hy_device_destroy(device);
}

static void test_complete(void **unused) {
    (void)unused;
    static const char *const sets[] = {"plain", "avx2", "avx512", ""};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        setenv("HYLAS_CPU", sets[i], 1);
        check_complete("cpu", HY_F32);
        check_complete("cpu", HY_F64);
    }
    unsetenv("HYLAS_CPU");
    check_complete("cpu", HY_F32);
    check_complete("cpu_ref", HY_F32);
    check_complete("cpu_ref", HY_F64);
#ifdef HY_TEST_CUDA_HOST
    check_complete("cuda_host", HY_F32);
    check_complete("cuda_host", HY_BF16);
#endif
}

static void test_plain_is_plain(void **unused) {
    (void)unused;
    hy_device *device;
    setenv("HYLAS_CPU", "plain", 1);
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    unsetenv("HYLAS_CPU");
    assert_string_equal(hy_device_profile(device)->detail, "plain");
    hy_device_destroy(device);
}

static void test_refusals(void **unused) {
    (void)unused;
    hy_device *device = NULL;
    const int64_t before = hy_alloc_bytes();
    assert_int_equal(hy_device_create("gpu", HY_F32, &device), HY_ERR_USAGE);
    setenv("HYLAS_CPU", "avx1024", 1);
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_ERR_USAGE);
    unsetenv("HYLAS_CPU");
    assert_int_equal(hy_device_create("cuda_host", HY_F64, &device), HY_ERR_USAGE);
    assert_int_equal(hy_device_create("cuda", HY_F64, &device), HY_ERR_USAGE);
    assert_null(device);
    assert_int_equal(hy_alloc_bytes(), before);
}

static void test_names(void **unused) {
    (void)unused;
    assert_string_equal(hy_op_name(HY_OP_fill), "fill");
    assert_string_equal(hy_op_name(HY_OP_adamw), "adamw");
    for (int op = 0; op < HY_OP_COUNT; op++)
        assert_non_null(hy_op_name((hy_op_id)op));
}

static void test_dispatch_counts(void **unused) {
    (void)unused;
    hy_device *device;
    float y[3] = {0};
    assert_int_equal(hy_device_create("cpu_ref", HY_F32, &device), HY_OK);
    for (int i = 0; i < 5; i++)
        hy_fill(device, &(hy_fill_args){.n = 3, .value = i, .y = y});
    assert_true(y[2] == 4.0f);
    assert_int_equal(hy_device_counts(device)->calls[HY_OP_fill], 5);
    assert_true(hy_device_counts(device)->seconds[HY_OP_fill] >= 0.0 &&
                hy_device_counts(device)->seconds[HY_OP_fill] < 60.0);
    assert_int_equal(hy_device_counts(device)->calls[HY_OP_add], 0);
    hy_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete), cmocka_unit_test(test_plain_is_plain),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_dispatch_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
