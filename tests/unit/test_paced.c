/* A paced device computes what the other one does, in no less time than the pace says; without a pace there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "kernels/device.h"

enum { N = 48, CALLS = 5 };

static void multiply(const char *name, const float *a, float *c, double *seconds) {
    hy_device *device = NULL;
    assert_int_equal(hy_device_create(name, HY_F32, &device), HY_OK);
    assert_int_equal(hy_device_is_async(device), 0);
    const double begun = hy_now();
    for (int i = 0; i < CALLS; i++) {
        hy_gemm(device, &(hy_gemm_args){
                            .m = N, .n = N, .k = N, .alpha = 1, .a = a, .lda = N, .b = a, .ldb = N, .c = c, .ldc = N});
    }
    *seconds = hy_now() - begun;
    assert_int_equal(hy_device_counts(device)->calls[HY_OP_gemm], CALLS);
    assert_true(hy_device_counts(device)->seconds[HY_OP_gemm] <= *seconds);
    hy_device_destroy(device);
}

static void test_pace(void **state) {
    (void)state;
    static float a[N * N], plain[N * N], paced[N * N];
    double seconds[2];
    for (int i = 0; i < N * N; i++) {
        a[i] = (float)hy_random_normal(3, 1, (uint64_t)i);
    }
    multiply("cpu", a, plain, &seconds[0]);
    const double each = 2.0 * N * N * N / 1e7; /* 22 ms */
    assert_int_equal(setenv("HYLAS_PACE", "1e7,1e12", 1), 0);
    multiply("paced:cpu", a, paced, &seconds[1]);
    assert_memory_equal(plain, paced, sizeof plain);
    assert_true(seconds[1] >
                (CALLS - 1) * each); /* a call may make up for a little of what those before it slept too long */
    assert_int_equal(setenv("HYLAS_PACE", "1e12,4e5", 1), 0);
    multiply("paced:cpu", a, paced, &seconds[1]);
    assert_true(seconds[1] > (CALLS - 1) * 3.0 * N * N * sizeof *a / 4e5);
}

static void test_words(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "fast", "1e9", "0,1e9", "1e9,-1", "1e9,1e9,1e9"};
    hy_device *device = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(setenv("HYLAS_PACE", wrong[i], 1), 0);
        assert_int_equal(hy_device_create("paced:cpu", HY_F32, &device), HY_ERR_USAGE);
    }
    assert_int_equal(unsetenv("HYLAS_PACE"), 0);
    assert_int_equal(hy_device_create("paced:cpu", HY_F32, &device), HY_ERR_USAGE);
    assert_int_equal(setenv("HYLAS_PACE", "1e9,1e9", 1), 0);
    assert_int_equal(hy_device_create("paced:cpu_async", HY_F32, &device), HY_ERR_USAGE);
    assert_int_equal(hy_device_create("paced:dry:cpu", HY_F32, &device), HY_ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pace), cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
