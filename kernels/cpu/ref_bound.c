/* Reference decays with learned lower bounds (Qin et al. 2023, HGRN).
 *
 * The bound of layer l is a cumulative softmax over the layers without its first term, so it is 0 in layer 0 and grows
 * with depth. The gate never forms 1 − e^g from e^g: k = (1 − bound)·σ(−x) keeps its digits where the decay is near 1. */
#include <math.h>

#include "kernels/cpu/ref.h"

/* log(1 − k), which is log(bound + (1 − bound)·σ(x)). */
static double log_decay(double x, double bound, double k) {
    if (k < 0.5)
        return log1p(-k);
    return bound > 0 ? log(bound + (1 - bound) * hy_ref_sigmoid(x)) : x - log1p(exp(x));
}

#define REF_BODY "kernels/cpu/ref_bound.inc"
#include "kernels/cpu/ref_precisions.h"
