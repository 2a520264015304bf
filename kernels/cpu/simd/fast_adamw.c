/* AdamW in one pass over g, m, v and w. The bias corrections are folded into the step size and the denominator. */
#include <math.h>

#include "kernels/cpu/simd/elementwise.h"

enum { BLOCK = 4096 }; /* elements: those of five arrays stay in the second cache until they are copied */

/* Elements r, all of one segment. */
static void update(const hy_adamw_args *a, double decay, hy_range r) {
    const float b1 = (float)a->b1, b2 = (float)a->b2, c1 = (float)(1 - a->b1), c2 = (float)(1 - a->b2);
    const float correct_m = (float)(a->lr / (1 - pow(a->b1, (double)a->step)));
    const float correct_v = (float)(1 / (1 - pow(a->b2, (double)a->step)));
    const float eps = (float)a->eps, shrink = (float)(a->lr * decay), g_scale = (float)a->g_scale;
    const float *restrict grad = a->g;
    float *restrict w = a->w, *restrict m = a->m, *restrict v = a->v;
#pragma omp simd
    for (int64_t i = r.begin; i < r.end; i++) {
        float g = g_scale * grad[i];
        m[i] = b1 * m[i] + c1 * g;
        v[i] = b2 * v[i] + c2 * g * g;
        w[i] -= correct_m * m[i] / (sqrtf(v[i] * correct_v) + eps) + shrink * w[i];
    }
}

static void copy_to_half(const hy_adamw_args *a, hy_range r) {
    const float *w = a->w;
#define STEP(i, n) hy_role_put(a->copy_role, a->copy, i, hy_vec_load_tail(w + (i), n), n, 0)
    HY_FOR_VECS(i, r, STEP);
#undef STEP
}

void HY_ISA_NAME(hy_fast_adamw)(const hy_adamw_args *a) {
    for (int64_t s = 0; s < a->n_segments; s++) {
        const hy_adamw_segment *segment = &a->segments[s];
        const int64_t end = segment->at + segment->n;
#pragma omp parallel for schedule(static) if (segment->n >= HY_PARALLEL_MIN)
        for (int64_t at = segment->at; at < end; at += BLOCK) {
            const hy_range r = {at, end - at < BLOCK ? end : at + BLOCK};
            update(a, segment->decays ? a->decay : 0, r);
            if (a->copy)
                copy_to_half(a, r);
        }
    }
}
