/* For a given exponent the curve is linear in E and A, so only the exponent is searched: coarsely over all that make sense, then by golden section
 * around the best. Compute is divided by its geometric mean C0 first; A' = A * C0^-alpha is what the curve has there beside E. */
#include "launch/scale/power_law.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum { COARSE = 400, FINE = 200 };

static const double exponent_min = 1e-5, exponent_max = 5.0;

typedef struct points {
    const double *compute, *loss;
    int n;
    double middle;    /* C0 */
    bool irreducible; /* whether there is an E */
} points;

typedef struct trial {
    double irreducible, scale, exponent, squares; /* E, A', alpha, sum of squared residuals */
} trial;

static double base_of(const points *p, int i, double exponent) {
    return pow(p->compute[i] / p->middle, -exponent);
}

/* E and A' of least squares for this exponent, neither below 0. */
static void solve_linear(const points *p, trial *t) {
    double x = 0.0, l = 0.0, xx = 0.0, xl = 0.0, whole_xx = 0.0, whole_xl = 0.0;
    for (int i = 0; i < p->n; i++) {
        x += base_of(p, i, t->exponent) / p->n;
        l += p->loss[i] / p->n;
    }
    for (int i = 0; i < p->n; i++) {
        const double base = base_of(p, i, t->exponent);
        xx += (base - x) * (base - x);
        xl += (base - x) * (p->loss[i] - l);
        whole_xx += base * base;
        whole_xl += base * p->loss[i];
    }
    t->scale = p->irreducible && xx > 0.0 ? fmax(xl / xx, 0.0) : 0.0;
    t->irreducible = p->irreducible ? l - t->scale * x : 0.0;
    if (!p->irreducible || t->irreducible < 0.0) {
        t->irreducible = 0.0;
        t->scale = whole_xl / whole_xx;
    }
}

static trial try_exponent(const points *p, double exponent) {
    trial t = {.exponent = exponent};
    solve_linear(p, &t);
    for (int i = 0; i < p->n; i++) {
        const double residual = p->loss[i] - t.irreducible - t.scale * base_of(p, i, exponent);
        t.squares += residual * residual;
    }
    return t;
}

/* Numbers of the coarse search, each the same factor above the one before. */
static double coarse_exponent(int i) {
    return exponent_min * pow(exponent_max / exponent_min, (double)i / (COARSE - 1));
}

static trial search(const points *p) {
    const double golden = 0.5 * (sqrt(5.0) - 1.0);
    int best = 0;
    double least = INFINITY;
    for (int i = 0; i < COARSE; i++) {
        const double squares = try_exponent(p, coarse_exponent(i)).squares;
        best = squares < least ? i : best;
        least = fmin(least, squares);
    }
    double low = coarse_exponent(best > 0 ? best - 1 : 0), high = coarse_exponent(best < COARSE - 1 ? best + 1 : best);
    for (int i = 0; i < FINE; i++) {
        const double step = golden * (high - low);
        if (try_exponent(p, high - step).squares < try_exponent(p, low + step).squares) {
            high = low + step;
        } else {
            low = high - step;
        }
    }
    return try_exponent(p, 0.5 * (low + high));
}

/* Of E, from the curvature of the sum of squares at its least; infinite where nothing determines E. */
static double error_of_irreducible(const points *p, const trial *t) {
    double xx = 0.0, xd = 0.0, dd = 0.0, x = 0.0, d = 0.0;
    for (int i = 0; i < p->n; i++) {
        const double base = base_of(p, i, t->exponent);
        const double by_exponent = -t->scale * base * log(p->compute[i] / p->middle);
        x += base;
        d += by_exponent;
        xx += base * base;
        xd += base * by_exponent;
        dd += by_exponent * by_exponent;
    }
    const double minor = xx * dd - xd * xd;
    const double determinant = p->n * minor - x * (x * dd - xd * d) + d * (x * xd - xx * d);
    const double variance = t->squares / (p->n - 3) * minor / determinant;
    return determinant > 0.0 && variance >= 0.0 ? sqrt(variance) : INFINITY;
}

static int distinct_computes(const points *p) {
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++) {
            seen = seen || fabs(p->compute[i] - p->compute[k]) <= 1e-9 * p->compute[k];
        }
        n += !seen;
    }
    return n;
}

static bool falls(const points *p) {
    double l = 0.0, slope = 0.0;
    for (int i = 0; i < p->n; i++) {
        l += p->loss[i] / p->n;
    }
    for (int i = 0; i < p->n; i++) {
        slope += log(p->compute[i] / p->middle) * (p->loss[i] - l);
    }
    return slope < -1e-12 * l;
}

static const char *check_points(points *p) {
    double middle = 0.0;
    for (int i = 0; i < p->n; i++) {
        if (!isfinite(p->compute[i]) || !isfinite(p->loss[i]) || p->compute[i] <= 0.0 || p->loss[i] <= 0.0) {
            return "a compute or loss is no number above 0";
        }
        middle += log(p->compute[i]) / p->n;
    }
    p->middle = exp(middle);
    return distinct_computes(p) < 2 ? "a curve needs points of two amounts of compute, better of four"
           : !falls(p)              ? "the loss does not fall with compute"
                                    : NULL;
}

/* Why there is no E in this trial; NULL: there is. */
static const char *judge(const points *p, const trial *t, double *error) {
    if (t->irreducible <= 0.0 || t->scale <= 0.0) {
        return "the points do not level off";
    }
    if (t->exponent > 0.99 * exponent_max) {
        return "the points level off at once";
    }
    *error = p->n > 3 ? error_of_irreducible(p, t) : 0.0;
    return *error < 0.5 * t->irreducible ? NULL : "its standard error is more than half of it";
}

static void measure_fit(const points *p, double squares, hy_power_law *law) {
    double mean = 0.0, spread = 0.0;
    law->worst = 0.0;
    for (int i = 0; i < p->n; i++) {
        mean += p->loss[i] / p->n;
        law->worst = fmax(law->worst, fabs(p->loss[i] - hy_power_law_at(law, p->compute[i])));
    }
    for (int i = 0; i < p->n; i++) {
        spread += (p->loss[i] - mean) * (p->loss[i] - mean);
    }
    law->r_squared = 1.0 - squares / spread;
}

const char *hy_power_law_fit(const double *compute, const double *loss, int n, hy_power_law *law) {
    points p = {.compute = compute, .loss = loss, .n = n};
    double error = 0.0;
    const char *plain = "two amounts of compute do not determine it", *none = check_points(&p);
    trial best = {0};
    if (none != NULL) {
        return none;
    }
    p.irreducible = distinct_computes(&p) > 2;
    if (p.irreducible) {
        best = search(&p);
        plain = judge(&p, &best, &error);
    }
    if (plain != NULL) {
        p.irreducible = false;
        best = search(&p);
    }
    *law = (hy_power_law){.irreducible = best.irreducible,
                          .standard_error = plain == NULL ? error : 0.0,
                          .scale = best.scale * pow(p.middle, best.exponent),
                          .exponent = best.exponent,
                          .plain = plain};
    measure_fit(&p, best.squares, law);
    return NULL;
}

double hy_power_law_at(const hy_power_law *law, double compute) {
    return law->irreducible + law->scale * pow(compute, -law->exponent);
}
