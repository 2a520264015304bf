/* AdamW in one pass over g, m, v and w. The bias corrections are folded into the step size and the denominator. */
#include <math.h>

#include "kernels/cpu/simd/elementwise.h"

void HY_ISA_NAME(hy_fast_adamw)(const hy_adamw_args *a) {
    const float b1 = (float)a->b1, b2 = (float)a->b2, c1 = (float)(1 - a->b1), c2 = (float)(1 - a->b2);
    const float correct_m = (float)(a->lr / (1 - pow(a->b1, (double)a->step)));
    const float correct_v = (float)(1 / (1 - pow(a->b2, (double)a->step)));
    const float eps = (float)a->eps, shrink = (float)(a->lr * a->decay), g_scale = (float)a->g_scale;
    const float *restrict grad = a->g;
    float *restrict w = a->w, *restrict m = a->m, *restrict v = a->v;
#pragma omp parallel for simd schedule(static) if (a->n >= HY_PARALLEL_MIN)
    for (int64_t i = 0; i < a->n; i++) {
        float g = g_scale * grad[i];
        m[i] = b1 * m[i] + c1 * g;
        v[i] = b2 * v[i] + c2 * g * g;
        w[i] -= correct_m * m[i] / (sqrtf(v[i] * correct_v) + eps) + shrink * w[i];
    }
}
