/* Orthogonal matrices: every pair of vectors of the shorter side, wide, tall, square, in both types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "layers/orthogonal.h"

/* Largest |<u_i, u_j> − gain²·[i = j]| / gain². */
static double worst(int64_t rows, int64_t cols, hy_dtype dtype, double gain) {
    double *w = malloc((size_t)(rows * cols) * sizeof *w), largest = 0;
    float *single = malloc((size_t)(rows * cols) * sizeof *single);
    assert_true(w && single);
    for (int64_t i = 0; i < rows * cols; i++) {
        w[i] = hy_random_normal(1, 2, (uint64_t)i);
        single[i] = (float)w[i];
    }
    hy_orthogonalise(dtype == HY_F64 ? (void *)w : (void *)single, dtype, rows, cols, gain);
    for (int64_t i = 0; i < rows * cols && dtype == HY_F32; i++)
        w[i] = (double)single[i];
    const int wide = rows <= cols;
    const int64_t n = wide ? rows : cols, length = wide ? cols : rows, between = wide ? cols : 1,
                  along = wide ? 1 : cols;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double dot = 0;
            for (int64_t k = 0; k < length; k++)
                dot += w[i * between + k * along] * w[j * between + k * along];
            largest = fmax(largest, fabs(dot / (gain * gain) - (i == j)));
        }
    free(w), free(single);
    return largest;
}

static void test_vectors_are_orthogonal(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {7, 19}, {19, 7}, {24, 24}, {520, 140}, {140, 520}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_true(worst(sizes[i][0], sizes[i][1], HY_F64, 1) < 1e-12);
        assert_true(worst(sizes[i][0], sizes[i][1], HY_F64, 0.1) < 1e-12);
        assert_true(worst(sizes[i][0], sizes[i][1], HY_F32, 2.5) < 1e-4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors_are_orthogonal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
