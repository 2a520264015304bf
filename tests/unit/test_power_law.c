/* launch/scale/power_law.h: exact points give back their coefficients, noisy ones nearly; what points do not say is said, and nothing is NaN. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launch/scale/power_law.h"

enum { POINTS_MAX = 16 };

typedef struct points {
    double compute[POINTS_MAX], loss[POINTS_MAX];
    int n;
} points;

static double normal(void) {
    double sum = -6.0;
    for (int i = 0; i < 12; i++) {
        sum += (double)rand() / RAND_MAX;
    }
    return sum;
}

/* Amounts of compute evenly apart on a log scale, from `first` on over so many decades. */
static points make_points(int n, double first, double decades, double e, double a, double alpha, double noise) {
    points p = {.n = n};
    for (int i = 0; i < n; i++) {
        p.compute[i] = first * pow(10.0, decades * i / (n > 1 ? n - 1 : 1));
        p.loss[i] = (e + a * pow(p.compute[i], -alpha)) * (1.0 + noise * normal());
    }
    return p;
}

static hy_power_law fit(const points *p) {
    hy_power_law law;
    assert_null(hy_power_law_fit(p->compute, p->loss, p->n, &law));
    assert_true(isfinite(law.irreducible) && isfinite(law.standard_error) && isfinite(law.r_squared));
    assert_true(isfinite(law.worst) && law.scale > 0.0 && law.exponent > 0.0 && isfinite(law.scale));
    return law;
}

static void assert_near(double value, double wanted, double relative) {
    if (!(fabs(value - wanted) <= relative * fabs(wanted))) {
        fail_msg("%.12g instead of %.12g", value, wanted);
    }
}

static void exact_points_give_back_their_coefficients(void **unused) {
    static const struct {
        double e, a, alpha, first;
    } laws[] = {{1.69, 1e3, 0.154, 1e18}, {0.5, 40.0, 0.05, 1e9}, {2.0, 1e8, 0.5, 1e15}, {1.0, 5e5, 1.2, 1e4}};
    (void)unused;
    for (int i = 0; i < 4; i++) {
        for (int n = 3; n <= POINTS_MAX; n += 4) {
            const points p = make_points(n, laws[i].first, 3.0, laws[i].e, laws[i].a, laws[i].alpha, 0.0);
            const hy_power_law law = fit(&p);
            assert_null(law.plain);
            assert_near(law.irreducible, laws[i].e, 1e-6);
            assert_near(law.scale, laws[i].a, 1e-6);
            assert_near(law.exponent, laws[i].alpha, 1e-6);
            assert_true(law.worst < 1e-9 && law.r_squared > 1.0 - 1e-12);
            assert_near(hy_power_law_at(&law, 1e20), laws[i].e + laws[i].a * pow(1e20, -laws[i].alpha), 1e-6);
        }
    }
}

static void order_does_not_matter(void **unused) {
    (void)unused;
    points p = make_points(6, 1e15, 3.0, 1.5, 100.0, 0.2, 0.003);
    const hy_power_law law = fit(&p);
    for (int i = 0; i < 3; i++) {
        const double compute = p.compute[i], loss = p.loss[i];
        p.compute[i] = p.compute[5 - i];
        p.loss[i] = p.loss[5 - i];
        p.compute[5 - i] = compute;
        p.loss[5 - i] = loss;
    }
    const hy_power_law turned = fit(&p);
    assert_near(turned.irreducible, law.irreducible, 1e-6);
    assert_near(turned.exponent, law.exponent, 1e-6);
}

/* Half a percent of noise on eight points over four decades; E's own standard error tells how far it is off. */
static void noisy_points_give_nearly_their_coefficients(void **unused) {
    enum { TIMES = 200 };
    int within = 0;
    (void)unused;
    srand(1);
    for (int i = 0; i < TIMES; i++) {
        const points p = make_points(8, 1e15, 4.0, 1.7, 2e4, 0.25, 0.005);
        const hy_power_law law = fit(&p);
        assert_null(law.plain);
        assert_near(law.irreducible, 1.7, 0.1);
        assert_near(law.exponent, 0.25, 0.2);
        assert_true(law.r_squared > 0.98 && law.worst < 0.1 && law.standard_error > 0.0);
        within += fabs(law.irreducible - 1.7) < 2.0 * law.standard_error;
    }
    assert_in_range(within, TIMES * 8 / 10, TIMES);
}

/* No smaller sum of squares anywhere around. */
static void squares_are_least(void **unused) {
    (void)unused;
    srand(2);
    for (int i = 0; i < 50; i++) {
        const points p = make_points(5, 1e12, 2.0, 1.0, 300.0, 0.2, 0.01);
        const hy_power_law law = fit(&p);
        double least = 0.0;
        for (int k = 0; k < 28; k++) {
            hy_power_law other = law;
            other.irreducible += law.plain == NULL ? 1e-3 * (k % 3 - 1) : 0.0;
            other.exponent *= 1.0 + 1e-3 * (k / 3 % 3 - 1);
            other.scale *= (1.0 + 1e-3 * (k / 9 % 3 - 1)) * pow(1e13, other.exponent - law.exponent);
            const hy_power_law *at = k < 27 ? &other : &law;
            double squares = 0.0;
            for (int j = 0; j < p.n; j++) {
                squares += pow(p.loss[j] - hy_power_law_at(at, p.compute[j]), 2.0);
            }
            least = k == 0 || squares < least ? squares : least;
            assert_true(k < 27 || squares <= least * (1.0 + 1e-9));
        }
    }
}

static void plain_laws_are_said_to_be(void **unused) {
    (void)unused;
    const points two = make_points(2, 1e10, 1.0, 0.0, 50.0, 0.1, 0.0),
                 many = make_points(6, 1e10, 3.0, 0.0, 50.0, 0.1, 0.0);
    const points *const both[] = {&two, &many};
    for (int i = 0; i < 2; i++) {
        const hy_power_law law = fit(both[i]);
        if (law.plain == NULL) { /* exact points of a law without E: one of rounding */
            assert_true(law.irreducible < 1e-5);
        } else {
            assert_true(law.irreducible == 0.0 && law.standard_error == 0.0);
        }
        assert_near(law.scale, 50.0, 1e-4);
        assert_near(law.exponent, 0.1, 1e-4);
    }
    assert_non_null(strstr(fit(&two).plain, "two amounts"));
    const points straight = {.compute = {1e9, 1e10, 1e11, 1e12}, .loss = {4.0, 3.5, 2.9, 2.2}, .n = 4}; /* bends down */
    assert_non_null(strstr(fit(&straight).plain, "level off"));
    const points step = {.compute = {1e9, 1e10, 1e11}, .loss = {4.0, 2.0, 2.0}, .n = 3};
    assert_non_null(strstr(fit(&step).plain, "at once"));
    const points rough = {.compute = {1e9, 2e9, 4e9, 8e9, 16e9}, .loss = {3.0, 2.8, 2.85, 2.55, 2.6}, .n = 5};
    assert_non_null(strstr(fit(&rough).plain, "standard error"));
}

static void what_has_no_curve_says_why(void **unused) {
    (void)unused;
    hy_power_law law = {.exponent = -7.0};
    const double one[] = {1e9, 1e9, 1e9}, up[] = {1e9, 1e10, 1e11}, same[] = {3.0, 3.0, 3.0};
    const double rises[] = {2.0, 2.1, 2.2}, fell[] = {3.0, 2.9, 2.8}, bad[] = {3.0, NAN, 2.0},
                 none[] = {0.0, 1e9, 1e10};
    assert_non_null(strstr(hy_power_law_fit(up, fell, 0, &law), "two amounts"));
    assert_non_null(strstr(hy_power_law_fit(up, fell, 1, &law), "two amounts"));
    assert_non_null(strstr(hy_power_law_fit(one, fell, 3, &law), "two amounts"));
    assert_non_null(strstr(hy_power_law_fit(up, same, 3, &law), "does not fall"));
    assert_non_null(strstr(hy_power_law_fit(up, rises, 3, &law), "does not fall"));
    assert_non_null(strstr(hy_power_law_fit(up, bad, 3, &law), "no number"));
    assert_non_null(strstr(hy_power_law_fit(none, fell, 3, &law), "no number"));
    assert_true(law.exponent == -7.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_points_give_back_their_coefficients),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(noisy_points_give_nearly_their_coefficients),
        cmocka_unit_test(squares_are_least),
        cmocka_unit_test(plain_laws_are_said_to_be),
        cmocka_unit_test(what_has_no_curve_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
