/* Rotary position embedding: a block per token computes each turn once, in double (positions reach millions), for all heads. */
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct rope_of {
    int64_t T, H, D, first, half;
    double step; /* log2 of the ratio of neighbouring frequencies: −2·log2(base)/rot */
    int inverse, acc;
    const int64_t *pos;
    array x, y;
};

enum { ROPE_THREADS = 128 };

HY_KERNEL(ROPE_THREADS, rope_kernel)(const rope_of a) {
    float *cosines = shared_at<float>(0), *sines = cosines + a.half;
    for (int64_t t = block_x(); t < a.T; t += grid_x()) {
        for (int64_t i = thread_index(); i < a.half; i += ROPE_THREADS) {
            double s, c;
            sincos((double)a.pos[t] * exp2(a.step * (double)i), &s, &c);
            cosines[i] = (float)c;
            sines[i] = (float)(a.inverse ? -s : s);
        }
        barrier();
        const int64_t row = t * a.H * a.D;
        for (int64_t k = thread_index(); k < a.H * a.half; k += ROPE_THREADS) {
            const int64_t i = k % a.half, at = row + k / a.half * a.D + a.first + i;
            const float u = get(a.x, at), v = get(a.x, at + a.half);
            put_or_add(a.y, at, u * cosines[i] - v * sines[i], a.acc);
            put_or_add(a.y, at + a.half, u * sines[i] + v * cosines[i], a.acc);
        }
        const int64_t rest = a.D - 2 * a.half;
        for (int64_t k = thread_index(); k < a.H * rest; k += ROPE_THREADS) {
            const int64_t i = k % rest, at = row + k / rest * a.D + (i < a.first ? i : i + 2 * a.half);
            put_or_add(a.y, at, get(a.x, at), a.acc);
        }
        barrier();
    }
}

template <hy_dtype P> static void rope(const hy_rope_args *a) {
    const rope_of args = {a->T,
                          a->H,
                          a->D,
                          a->first,
                          a->rot / 2,
                          a->rot > 0 ? -2.0 * log2(a->base) / (double)a->rot : 0.0,
                          a->inverse,
                          a->acc,
                          a->pos,
                          array_of<P>(HY_ROLE_ACT, a->x),
                          array_of<P>(HY_ROLE_ACT, a->y)};
    HY_LAUNCH(rope_kernel, grid(a->T < 1 << 20 ? a->T : (int64_t)1 << 20), ROPE_THREADS,
              (size_t)(2 * args.half) * sizeof(float), args);
}

template <hy_dtype P> static void rope_entries(hy_table *table) {
    table->rope = rope<P>;
}

void overlay_rope(hy_table *table) {
    HY_OVERLAY(rope_entries, table);
}

} // namespace HY_GPU
