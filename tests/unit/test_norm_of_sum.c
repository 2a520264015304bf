/* A norm of a residual sum is, to the bit, what `add` and the norm of its result are one behind the other: on every table, for every
 * instruction set, at sizes that divide nothing, with sums that the precision rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "kernels/dtype.h"

enum { ROWS_MAX = 37, COLS_MAX = 1030, N = ROWS_MAX * COLS_MAX };

/* Of one call: float and bf16 arrays have room for either. */
static float x[N], branch[N], w[COLS_MAX], b[COLS_MAX];
static float sum_apart[N], y_apart[N], sum_at_once[N], y_at_once[N];

static uint64_t seed = 7;

static float drawn(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(seed >> 40) / (1 << 23) - 1) * 3;
}

static void fill_act(void *to, hy_dtype dtype, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (dtype == HY_BF16) {
            ((hy_bf16 *)to)[i] = hy_bf16_of(drawn());
        } else {
            ((float *)to)[i] = drawn();
        }
    }
}

static void run_rms(hy_device *device, int64_t rows, int64_t cols, bool weighted) {
    hy_rmsnorm_args a = {.rows = rows, .cols = cols, .w_rows = 1, .eps = 1e-5, .w = weighted ? w : NULL};
    a.x = sum_apart;
    a.y = y_apart;
    hy_rmsnorm_fwd(device, &a);
    a.x = x;
    a.branch = branch;
    a.sum = sum_at_once;
    a.y = y_at_once;
    hy_rmsnorm_fwd(device, &a);
}

static void run_layer(hy_device *device, int64_t rows, int64_t cols, bool weighted) {
    hy_layernorm_args a = {.rows = rows, .cols = cols, .w_rows = 1, .eps = 1e-5};
    a.w = weighted ? w : NULL;
    a.b = weighted ? b : NULL;
    a.x = sum_apart;
    a.y = y_apart;
    hy_layernorm_fwd(device, &a);
    a.x = x;
    a.branch = branch;
    a.sum = sum_at_once;
    a.y = y_at_once;
    hy_layernorm_fwd(device, &a);
}

static void check_size(hy_device *device, hy_dtype dtype, int64_t rows, int64_t cols) {
    const size_t bytes = (size_t)(rows * cols) * hy_dtype_size(dtype);
    for (int mode = 0; mode < 4; mode++) {
        fill_act(x, dtype, rows * cols);
        fill_act(branch, dtype, rows * cols);
        memset(sum_at_once, 0xff, sizeof sum_at_once);
        memset(y_at_once, 0xff, sizeof y_at_once);
        hy_add(device, &(hy_add_args){.n = rows * cols, .a = x, .b = branch, .y = sum_apart});
        (mode & 1 ? run_layer : run_rms)(device, rows, cols, mode >> 1);
        if (memcmp(sum_at_once, sum_apart, bytes) != 0 || memcmp(y_at_once, y_apart, bytes) != 0) {
            fail_msg("%s %s, %d rows of %d, mode %d: not as add and norm", hy_device_profile(device)->name,
                     hy_device_profile(device)->detail, (int)rows, (int)cols, mode);
        }
    }
}

static void check_device(const char *name, hy_dtype dtype) {
    static const int64_t sizes[][2] = {{1, 1}, {5, 17}, {37, 64}, {3, 257}, {9, 1030}};
    hy_device *device;
    assert_int_equal(hy_device_create(name, dtype, &device), HY_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_size(device, dtype, sizes[i][0], sizes[i][1]);
    }
    hy_device_destroy(device);
}

static void test_as_apart(void **unused) {
    (void)unused;
    static const char *const sets[] = {"amx", "avx512", "avx2", "plain"};
    static const hy_dtype dtypes[] = {HY_F32, HY_BF16};
    fill_act(w, HY_F32, COLS_MAX);
    fill_act(b, HY_F32, COLS_MAX);
    for (int d = 0; d < 2; d++) {
        check_device("cpu_ref", dtypes[d]);
#ifdef HY_TEST_CUDA_HOST
        check_device("cuda_host", dtypes[d]);
#endif
        for (int s = 0; s < 4; s++) {
            setenv("HYLAS_CPU", sets[s], 1);
            check_device("cpu", dtypes[d]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
