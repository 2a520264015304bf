/* Reference filters and long convolution, from their definitions (kernels.h). With a = softplus(p), so λ = e^−a:
 *
 *   dR = Σ_τ dh_τ e^{−aτ};   da = −Σ_τ dh_τ R τ e^{−aτ};   dp = da·σ(p)
 *   dα = −Σ_j dw_j w_j·age_j  (age in widths), d log α = α·dα
 *   dx_t = Σ_τ h_τ dy_{t+τ};  dh_τ = Σ_t dy_t x_{t−τ}, inside a document */
#include <math.h>

#include "kernels/cpu/ref.h"

/* A fixed α_g: G values from low to high in equal ratios; one filter has low. */
static double fixed_alpha(const hy_window_filter_args *a, int64_t g) {
    if (a->high == 0)
        return 0;
    return a->low * pow(a->high / a->low, a->G > 1 ? (double)g / (double)(a->G - 1) : 0);
}

/* Age of tap j, from 1 (oldest) to 0 (the present token). */
static double tap_age(const hy_window_filter_args *a, int64_t j) {
    return a->W > 1 ? (double)(a->W - 1 - j) / (double)(a->W - 1) : 0;
}

size_t hy_ref_long_conv_work(const hy_long_conv_args *a) {
    (void)a;
    return 0;
}

#define REF_BODY "kernels/cpu/ref_filter.inc"
#include "kernels/cpu/ref_precisions.h"
