/* AdamW over segments. The list is the host's: as many segments as fit travel in the arguments of a launch. */
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

enum { SEGMENTS_MAX = 120 }; /* 24 bytes each, of the 4 KiB that arguments may have */

struct adamw_of {
    hy_adamw_segment segments[SEGMENTS_MAX];
    float lr, b1, b2, rest1, rest2, eps, decay, g_scale; /* rest: 1 − b */
    float correct_m, correct_v;                          /* 1/(1 − b^t) */
    const float *g;
    float *w, *m, *v;
    array copy;
};

HY_DEVICE void adamw_element(const adamw_of &a, int64_t i, float decay) {
    const float g = a.g[i] * a.g_scale;
    const float m = a.b1 * a.m[i] + a.rest1 * g, v = a.b2 * a.v[i] + a.rest2 * g * g;
    const float step = m * a.correct_m / (sqrtf(v * a.correct_v) + a.eps), w = a.w[i];
    const float next = w - a.lr * (step + decay * w);
    a.m[i] = m;
    a.v[i] = v;
    a.w[i] = next;
    if (a.copy.at != nullptr)
        put(a.copy, i, next);
}

/* Grid: blocks of a segment × segments. */
HY_KERNEL(EACH_THREADS, adamw_kernel)(const adamw_of a) {
    const hy_adamw_segment &s = a.segments[block_y()];
    const float decay = s.decays ? a.decay : 0.0f;
    each(s.n, [&](int64_t i) { adamw_element(a, s.at + i, decay); });
}

template <hy_dtype P> static void adamw(const hy_adamw_args *a) {
    adamw_of args = {{},
                     (float)a->lr,
                     (float)a->b1,
                     (float)a->b2,
                     (float)(1 - a->b1),
                     (float)(1 - a->b2),
                     (float)a->eps,
                     (float)a->decay,
                     (float)a->g_scale,
                     (float)(1 / (1 - pow(a->b1, (double)a->step))),
                     (float)(1 / (1 - pow(a->b2, (double)a->step))),
                     static_cast<const float *>(a->g),
                     static_cast<float *>(a->w),
                     static_cast<float *>(a->m),
                     static_cast<float *>(a->v),
                     array_of<P>(a->copy_role, a->copy)};
    for (int64_t first = 0; first < a->n_segments; first += SEGMENTS_MAX) {
        const int64_t n = a->n_segments - first < SEGMENTS_MAX ? a->n_segments - first : (int64_t)SEGMENTS_MAX;
        int64_t longest = 0;
        for (int64_t i = 0; i < n; i++) {
            args.segments[i] = a->segments[first + i];
            longest = args.segments[i].n > longest ? args.segments[i].n : longest;
        }
        HY_LAUNCH(adamw_kernel, grid(blocks_for(longest).x, n), EACH_THREADS, 0, args);
    }
}

template <hy_dtype P> static void optimizer_entries(hy_table *table) {
    table->adamw = adamw<P>;
}

void overlay_optimizer(hy_table *table) {
    HY_OVERLAY(optimizer_entries, table);
}

} // namespace HY_GPU
