/* Decays with lower bounds: k = (1 − b)σ(−x), g = log(1 − k). With e = e^(−|x|):
 *   k ≤ 1/2: g = −log1p(k/(1 − k));   k > 1/2, so x < 0: g = log(b + e) − log1p(e), log(b + e) = logaddexp(log b, x)
 * where every log1p has an argument from 0 to 1. A thread has channels of its own and goes down the tokens. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"
#include "kernels/cpu/simd/vec_math.h"

#define CHANNELS 2048
/* The log of a bound of 0, far below any x that matters. */
#define LOG_OF_NOTHING (-1e30f)

typedef struct channels {
    int64_t begin, n;
    float bound[CHANNELS], log_bound[CHANNELS], sum[CHANNELS];
} channels;

static void channels_begin(const hy_bound_gate_args *a, channels *w, int64_t begin, int64_t end) {
    w->begin = begin;
    w->n = end - begin < CHANNELS ? end - begin : CHANNELS;
    for (int64_t c = 0; c < w->n; c++) {
        w->bound[c] = a->bound != NULL ? ((const float *)a->bound)[begin + c] : 0.0f;
        w->log_bound[c] = w->bound[c] > 0 ? logf(w->bound[c]) : LOG_OF_NOTHING;
        w->sum[c] = 0;
    }
}

HY_INLINE void fwd_step(const hy_bound_gate_args *a, const channels *w, int64_t at, int64_t c, int64_t n) {
    const hy_vec one = hy_vec_set(1.0f), x = hy_vec_load_tail((const hy_elem *)a->x + at, n);
    const hy_vec bound = hy_vec_load_tail(w->bound + c, n), log_bound = hy_vec_load_tail(w->log_bound + c, n);
    const hy_vec k = (one - bound) * hy_vec_sigmoid(-x);
    const hy_vec added = hy_vec_max(log_bound, x) + hy_vec_log1p_unit(hy_vec_exp(-hy_vec_abs(log_bound - x)));
    const hy_vec low = added - hy_vec_log1p_unit(hy_vec_exp(-hy_vec_abs(x)));
    const hy_vec high = -hy_vec_log1p_unit(hy_vec_min(one, k / (one - k)));
    hy_vec_store_tail((hy_elem *)a->k + at, k, n);
    hy_vec_store_tail((float *)a->g + at, hy_vec_select((hy_ivec)(k > hy_vec_set(0.5f)), low, high), n);
}

HY_INLINE void bwd_step(const hy_bound_gate_args *a, channels *w, int64_t at, int64_t c, int64_t n) {
    const hy_vec one = hy_vec_set(1.0f), x = hy_vec_load_tail((const hy_elem *)a->x + at, n);
    const hy_vec dg = hy_vec_load_tail((const float *)a->dg + at, n),
                 dk = hy_vec_load_tail((const hy_elem *)a->dk + at, n);
    const hy_vec bound = hy_vec_load_tail(w->bound + c, n), rest = one - bound;
    const hy_vec up = hy_vec_sigmoid(x), down = hy_vec_sigmoid(-x);
    const hy_vec by_decay = down / hy_vec_max(bound + rest * up, hy_vec_set(1e-36f));
    const hy_vec slope = hy_vec_select((hy_ivec)(bound > hy_vec_zero()), rest * up * by_decay, down);
    hy_vec_put((hy_elem *)a->dx + at, dg * slope - dk * rest * up * down, n, a->acc);
    hy_vec_put(w->sum + c, dg * by_decay - dk * down, n, 1);
}

void HY_ISA_NAME(hy_fast_bound_gate_fwd)(const hy_bound_gate_args *a) {
#pragma omp parallel if (a->T * a->C >= HY_PARALLEL_MIN)
    {
        const hy_range mine = hy_thread_range(a->C, 16);
        channels w;
        for (int64_t begin = mine.begin; begin < mine.end; begin += CHANNELS) {
            channels_begin(a, &w, begin, mine.end);
            const hy_range all = {0, w.n};
            for (int64_t t = 0; t < a->T; t++) {
                const int64_t row = t * a->C + begin;
#define STEP(c, n) fwd_step(a, &w, row + (c), c, n)
                HY_FOR_VECS(c, all, STEP);
#undef STEP
            }
        }
    }
}

void HY_ISA_NAME(hy_fast_bound_gate_bwd)(const hy_bound_gate_args *a) {
#pragma omp parallel if (a->T * a->C >= HY_PARALLEL_MIN)
    {
        const hy_range mine = hy_thread_range(a->C, 16);
        channels w;
        for (int64_t begin = mine.begin; begin < mine.end; begin += CHANNELS) {
            channels_begin(a, &w, begin, mine.end);
            const hy_range all = {0, w.n};
            for (int64_t t = 0; t < a->T; t++) {
                const int64_t row = t * a->C + begin;
#define STEP(c, n) bwd_step(a, &w, row + (c), c, n)
                HY_FOR_VECS(c, all, STEP);
#undef STEP
            }
            for (int64_t c = 0; c < w.n && a->dbound != NULL; c++)
                ((float *)a->dbound)[begin + c] += w.sum[c];
        }
    }
}
