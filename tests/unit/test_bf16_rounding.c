/* What the fast tables of every instruction set make of float32 when they store it as bf16, and of bf16 when they load it: base/half.h
 * to the bit, but for values under the smallest normal number, which AVX512-BF16 takes for 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "kernels/device.h"

enum { COUNT = 65536 + 7 };

static const char *const sets[] = {"plain", "avx2", "avx512", "amx"};

/* NULL where this processor lacks it. */
static hy_device *device_of(const char *set) {
    hy_device *device = NULL;
    setenv("HYLAS_CPU", set, 1);
    assert_int_equal(hy_device_create("cpu", HY_BF16, &device), HY_OK);
    unsetenv("HYLAS_CPU");
    if (strcmp(hy_device_profile(device)->detail, set) == 0)
        return device;
    hy_device_destroy(device);
    return NULL;
}

static void convert(hy_device *device, const void *x, hy_role from, void *y, hy_role to, int64_t n) {
    const hy_axpy_args a = {.n = n, .a = 1, .x = x, .y = y, .from = from, .to = to};
    hy_axpy(device, &a);
}

/* Every sign, exponent and upper mantissa with lower halves around the middle, and NaNs. */
static void narrowing_is_that_of_half(void **unused) {
    (void)unused;
    static const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    float *x = malloc(COUNT * sizeof *x);
    hy_bf16 *y = malloc(COUNT * sizeof *y);
    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        hy_device *device = device_of(sets[s]);
        for (size_t l = 0; device != NULL && l < sizeof lower / sizeof lower[0]; l++) {
            for (uint32_t i = 0; i < COUNT; i++)
                x[i] = hy_float_from_bits((i & 0xffffu) << 16 | lower[l]);
            convert(device, x, HY_ROLE_STAT, y, HY_ROLE_ACT, COUNT);
            for (uint32_t i = 0; i < COUNT; i++) {
                const uint32_t magnitude = hy_float_bits(x[i]) & 0x7fffffffu;
                const uint16_t want = hy_float_to_bf16(x[i]), zero = (uint16_t)(want & 0x8000u);
                if (y[i].bits != want && !(magnitude < 0x00800000u && y[i].bits == zero))
                    fail_msg("%s: %08x becomes %04x, not %04x", sets[s], hy_float_bits(x[i]), y[i].bits, want);
            }
        }
        hy_device_destroy(device);
    }
    free(x);
    free(y);
}

static void widening_is_exact(void **unused) {
    (void)unused;
    hy_bf16 *x = malloc(COUNT * sizeof *x);
    float *y = malloc(COUNT * sizeof *y);
    for (uint32_t i = 0; i < COUNT; i++)
        x[i].bits = (uint16_t)i;
    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        hy_device *device = device_of(sets[s]);
        if (device == NULL)
            continue;
        convert(device, x, HY_ROLE_ACT, y, HY_ROLE_STAT, COUNT);
        for (uint32_t i = 0; i < COUNT; i++) {
            const float want = hy_bf16_to_float((uint16_t)i);
            assert_true(y[i] == want || (y[i] != y[i] && want != want));
        }
        hy_device_destroy(device);
    }
    free(x);
    free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrowing_is_that_of_half),
        cmocka_unit_test(widening_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
