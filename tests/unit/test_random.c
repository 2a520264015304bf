/* Philox against its published known-answer vectors; distributions by their moments; permutations by counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* The first two output words of the kat_vectors file of Random123 for philox4x32 with 10 rounds. */
static void test_known_answers(void **unused) {
    (void)unused;
    assert_true(hy_random_u64(0, 0, 0) == 0xe169c58d6627e8d5u);
    assert_true(hy_random_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX) == 0x41c83b0e408f276du);
    assert_true(hy_random_u64(0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x0370734413198a2eu) == 0x94fdccebd16cfe09u);
}

static void test_stream_is_fnv1a(void **unused) {
    (void)unused;
    assert_true(hy_random_stream("") == 0xcbf29ce484222325u);
    assert_true(hy_random_stream("a") == 0xaf63dc4c8601ec8cu);
    assert_true(hy_random_stream("foobar") == 0x85944171f73967e8u);
}

static void test_uniform_moments(void **unused) {
    (void)unused;
    enum { N = 100000 };
    double sum = 0.0, square = 0.0;
    for (uint64_t i = 0; i < N; i++) {
        const double u = hy_random_uniform(7, 3, i);
        assert_true(u > 0.0 && u < 1.0);
        sum += u;
        square += u * u;
    }
    assert_true(fabs(sum / N - 0.5) < 5.0 * sqrt(1.0 / 12.0 / N));
    assert_true(fabs(square / N - 1.0 / 3.0) < 5.0 * sqrt(4.0 / 45.0 / N));
}

static void test_normal_moments(void **unused) {
    (void)unused;
    enum { N = 100000 };
    double moment[5] = {0.0}, lag = 0.0, previous = 0.0;
    for (uint64_t i = 0; i < N; i++) {
        const double x = hy_random_normal(11, 5, i);
        double power = 1.0;
        for (int k = 1; k <= 4; k++) {
            power *= x;
            moment[k] += power / N;
        }
        lag += x * previous / N;
        previous = x;
    }
    /* Five standard errors; the variance of x^k is E x^2k - (E x^k)^2: 1, 2, 15, 96. */
    assert_true(fabs(moment[1]) < 5.0 * sqrt(1.0 / N));
    assert_true(fabs(moment[2] - 1.0) < 5.0 * sqrt(2.0 / N));
    assert_true(fabs(moment[3]) < 5.0 * sqrt(15.0 / N));
    assert_true(fabs(moment[4] - 3.0) < 5.0 * sqrt(96.0 / N));
    assert_true(fabs(lag) < 5.0 * sqrt(1.0 / N));
}

static void test_seeds_and_streams_differ(void **unused) {
    (void)unused;
    assert_true(hy_random_u64(1, 0, 0) != hy_random_u64(2, 0, 0));
    assert_true(hy_random_u64(1, 0, 0) != hy_random_u64(1, 1, 0));
    assert_true(hy_random_u64(1, 0, 0) != hy_random_u64((uint64_t)1 << 32 | 1, 0, 0));
    assert_true(hy_random_u64(1, 0, 0) != hy_random_u64(1, (uint64_t)1 << 32, 0));
    assert_true(hy_random_u64(1, 0, 0) != hy_random_u64(1, 0, (uint64_t)1 << 32));
}

static void check_is_permutation(uint64_t seed, uint64_t n) {
    unsigned char *seen = calloc((size_t)n, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t image = hy_random_permute(seed, 9, n, i);
        assert_true(image < n);
        assert_int_equal(seen[image], 0);
        seen[image] = 1;
    }
    free(seen);
}

static void test_permute_is_a_bijection(void **unused) {
    (void)unused;
    for (uint64_t n = 1; n <= 70; n++) {
        check_is_permutation(n, n);
    }
    const uint64_t larger[] = {255, 256, 257, 1000, 1023, 1025, 4096, 4097, 16385};
    for (size_t i = 0; i < sizeof(larger) / sizeof(larger[0]); i++) {
        check_is_permutation(i, larger[i]);
    }
}

static void test_permute_handles_huge_domains(void **unused) {
    (void)unused;
    const uint64_t sizes[] = {UINT64_MAX, (uint64_t)1 << 63, ((uint64_t)1 << 40) + 1};
    for (size_t i = 0; i < 3; i++) {
        const uint64_t first = hy_random_permute(1, 2, sizes[i], 0);
        const uint64_t last = hy_random_permute(1, 2, sizes[i], sizes[i] - 1);
        assert_true(first < sizes[i] && last < sizes[i] && first != last);
    }
}

static void test_permute_inverse(void **unused) {
    (void)unused;
    const uint64_t sizes[] = {1, 2, 3, 17, 1000, ((uint64_t)1 << 40) + 1, UINT64_MAX};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (uint64_t i = 0; i < 100 && i < sizes[s]; i++) {
            const uint64_t index = hy_random_u64(3, s, i) % sizes[s];
            assert_true(hy_random_permute_inverse(7, s, sizes[s], hy_random_permute(7, s, sizes[s], index)) == index);
        }
    }
}

/* Chi-square over where index i goes, for every i: each cell has the same chance. */
static void test_permute_is_uniform_over_seeds(void **unused) {
    (void)unused;
    enum { DRAWS = 4000, MOST = 13 };
    const uint64_t sizes[] = {2, 3, 5, 8, 13};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        const uint64_t n = sizes[s];
        for (uint64_t i = 0; i < n; i++) {
            double count[MOST] = {0.0}, chi2 = 0.0;
            for (uint64_t seed = 0; seed < DRAWS; seed++) {
                count[hy_random_permute(seed, 1, n, i)] += 1.0;
            }
            const double expected = (double)DRAWS / (double)n;
            for (uint64_t cell = 0; cell < n; cell++) {
                chi2 += (count[cell] - expected) * (count[cell] - expected) / expected;
            }
            const double freedom = (double)n - 1.0;
            assert_true(chi2 < freedom + 6.0 * sqrt(2.0 * freedom) + 6.0);
        }
    }
}

/* Fixed points of a random permutation: one on average, whatever n is. */
static void test_permute_fixed_points(void **unused) {
    (void)unused;
    double fixed = 0.0;
    enum { SEEDS = 200, N = 100 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (uint64_t i = 0; i < N; i++) {
            fixed += hy_random_permute(seed, 4, N, i) == i ? 1.0 : 0.0;
        }
    }
    assert_true(fabs(fixed / SEEDS - 1.0) < 5.0 / sqrt((double)SEEDS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_stream_is_fnv1a),
        cmocka_unit_test(test_uniform_moments),
        cmocka_unit_test(test_normal_moments),
        cmocka_unit_test(test_seeds_and_streams_differ),
        cmocka_unit_test(test_permute_is_a_bijection),
        cmocka_unit_test(test_permute_handles_huge_domains),
        cmocka_unit_test(test_permute_inverse),
        cmocka_unit_test(test_permute_is_uniform_over_seeds),
        cmocka_unit_test(test_permute_fixed_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
