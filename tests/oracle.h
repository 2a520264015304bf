/* Random arrays, comparison of arrays, and gradients by central differences, all in double. */
#ifndef HY_TESTS_ORACLE_H
#define HY_TESTS_ORACLE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/tolerance.h"

#define ORACLE_UNUSED __attribute__((unused))

static uint64_t oracle_draws;

static ORACLE_UNUSED void normal_fill(double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = hy_random_normal(3, 1, oracle_draws++);
}

static ORACLE_UNUSED void uniform_fill(double *x, int64_t n, double low, double high) {
    for (int64_t i = 0; i < n; i++)
        x[i] = low + (high - low) * hy_random_uniform(3, 2, oracle_draws++);
}

static ORACLE_UNUSED double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static ORACLE_UNUSED void assert_close(const char *name, const double *want, const double *got, int64_t n,
                                       hy_tolerance tol) {
    const double rms = n > 0 ? sqrt(dot(want, want, n) / (double)n) : 0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tol.relative * fabs(want[i]) + tol.of_rms * rms + 1e-300))
            fail_msg("%s[%lld of %lld] = %.15g, want %.15g (rms %.3g)", name, (long long)i, (long long)n, got[i],
                     want[i], rms);
}

/* dx[i] against (loss(x + h e_i) − loss(x − h e_i)) / 2h for every i. `loss` reads x through the context. */
static ORACLE_UNUSED void assert_gradient(const char *name, double (*loss)(const void *context), const void *context,
                                          double *x, int64_t n, const double *dx) {
    double *want = malloc((size_t)(n + 1) * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        const double at = x[i];
        x[i] = at + HY_DIFFERENCE_STEP;
        const double up = loss(context);
        x[i] = at - HY_DIFFERENCE_STEP;
        const double down = loss(context);
        x[i] = at;
        want[i] = (up - down) / (2 * HY_DIFFERENCE_STEP);
    }
    assert_close(name, want, dx, n, HY_TOL_F64_DIFFERENCES);
    free(want);
}

#endif
