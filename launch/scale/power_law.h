/* Loss against compute: L(C) = E + A * C^-alpha, the form of scaling laws (Hoffmann et al. 2022, section 3; Kaplan et al. 2020 with E = 0), fitted by
 * least squares in the loss. */
#ifndef HY_LAUNCH_SCALE_POWER_LAW_H
#define HY_LAUNCH_SCALE_POWER_LAW_H

typedef struct hy_power_law {
    double irreducible;      /* E, at least 0 */
    double standard_error;   /* of E; 0 where there are no more points than coefficients, or no E */
    double scale, exponent;  /* A, alpha: above 0 */
    double r_squared, worst; /* of variance explained; the largest residual */
    const char *plain;       /* why E is 0; NULL: it was fitted */
} hy_power_law;

/* Through (compute[i], loss[i]), in any order. E is left out, and said why, where the points do not determine it. Returns NULL, or why there is no
 * curve: *law is then as it was. Pure. */
const char *hy_power_law_fit(const double *compute, const double *loss, int n, hy_power_law *law);
double hy_power_law_at(const hy_power_law *law, double compute);

#endif
