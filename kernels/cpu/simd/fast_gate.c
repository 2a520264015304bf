/* Decay gates, u = x + dt_bias, e = exp(A_log):  g = −e·softplus(u), or g = lower_bound·σ(e·u) if lower_bound < 0.
 *   ∂g/∂u = −e·σ(u)                     ∂g/∂A_log = g
 *   ∂g/∂u = lower_bound·e·σ(eu)(1−σ(eu))   ∂g/∂A_log = ∂g/∂u·u
 * Channels are the H·K pairs of a head and its k. A thread has whole heads, and goes down the tokens in pieces of
 * CHANNELS, whose parameters and sums stay in cache: sums are in token order. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd/elementwise.h"
#include "kernels/cpu/simd/vec_math.h"

#define CHANNELS 4096

typedef struct channels {
    int64_t begin, n;
    float speed[CHANNELS], bias[CHANNELS];
    float dA[CHANNELS], dbias[CHANNELS];
} channels;

static void channels_begin(const hy_decay_gate_args *a, channels *w, int64_t begin, int64_t end) {
    w->begin = begin;
    w->n = end - begin < CHANNELS ? end - begin : CHANNELS;
    for (int64_t c = 0; c < w->n; c++) {
        int64_t head = (begin + c) / a->K;
        w->speed[c] = c > 0 && head == (begin + c - 1) / a->K ? w->speed[c - 1]
                                                              : (float)exp((double)((const float *)a->A_log)[head]);
        w->bias[c] = a->dt_bias != NULL ? ((const float *)a->dt_bias)[begin + c] : 0.0f;
    }
    memset(w->dA, 0, (size_t)w->n * sizeof(float));
    memset(w->dbias, 0, (size_t)w->n * sizeof(float));
}

HY_INLINE void fwd_step(const hy_decay_gate_args *a, const channels *w, int64_t row, int64_t c, int64_t n) {
    hy_vec speed = hy_vec_load_tail(w->speed + c, n);
    hy_vec u = hy_vec_load_tail((const hy_elem *)a->x + row + c, n) + hy_vec_load_tail(w->bias + c, n);
    hy_vec g = a->lower_bound < 0 ? hy_vec_set((float)a->lower_bound) * hy_vec_sigmoid(speed * u)
                                  : -speed * hy_vec_softplus(u);
    hy_vec_store_tail((float *)a->g + row + c, g, n);
}

HY_INLINE void bwd_step(const hy_decay_gate_args *a, channels *w, int64_t row, int64_t c, int64_t n) {
    hy_vec speed = hy_vec_load_tail(w->speed + c, n), dg = hy_vec_load_tail((const float *)a->dg + row + c, n);
    hy_vec u = hy_vec_load_tail((const hy_elem *)a->x + row + c, n) + hy_vec_load_tail(w->bias + c, n), d, dA;
    if (a->lower_bound < 0) {
        d = dg * speed * hy_vec_set((float)a->lower_bound) * hy_vec_sigmoid(speed * u) * hy_vec_sigmoid(-speed * u);
        dA = d * u;
    } else {
        /* With e = e^(−|u|): σ(u) = (u > 0 ? 1 : e)/(1 + e), softplus(u) = max(u, 0) + log(1 + e). */
        const hy_vec one = hy_vec_set(1.0f), e = hy_vec_exp(-hy_vec_abs(u)), down = -dg * speed;
        d = down * hy_vec_select((hy_ivec)(u > hy_vec_zero()), one, e) / (one + e);
        dA = down * (hy_vec_max(hy_vec_zero(), u) + hy_vec_log1p_unit(e));
    }
    hy_vec_put((hy_elem *)a->dx + row + c, d, n, a->acc);
    hy_vec_put(w->dbias + c, d, n, 1);
    hy_vec_put(w->dA + c, dA, n, 1);
}

static void channels_end(const hy_decay_gate_args *a, const channels *w) {
    for (int64_t c = 0; c < w->n; c++) {
        ((float *)a->dA_log)[(w->begin + c) / a->K] += w->dA[c];
        if (a->ddt_bias != NULL)
            ((float *)a->ddt_bias)[w->begin + c] += w->dbias[c];
    }
}

/* The channels of this thread: whole heads, 16 at a time where a head is one channel. */
static hy_range my_channels(const hy_decay_gate_args *a) {
    hy_range heads = hy_thread_range(a->H, a->K < 16 ? 16 : 1);
    return (hy_range){heads.begin * a->K, heads.end * a->K};
}

void HY_ISA_NAME(hy_fast_decay_gate_fwd)(const hy_decay_gate_args *a) {
#pragma omp parallel if (a->T * a->H * a->K >= HY_PARALLEL_MIN)
    {
        const hy_range mine = my_channels(a);
        channels w;
        for (int64_t begin = mine.begin; begin < mine.end; begin += CHANNELS) {
            channels_begin(a, &w, begin, mine.end);
            const hy_range all = {0, w.n};
            for (int64_t t = 0; t < a->T; t++) {
                const int64_t row = t * a->H * a->K + begin;
#define STEP(c, n) fwd_step(a, &w, row, c, n)
                HY_FOR_VECS(c, all, STEP);
#undef STEP
            }
        }
    }
}

void HY_ISA_NAME(hy_fast_decay_gate_bwd)(const hy_decay_gate_args *a) {
#pragma omp parallel if (a->T * a->H * a->K >= HY_PARALLEL_MIN)
    {
        const hy_range mine = my_channels(a);
        channels w;
        for (int64_t begin = mine.begin; begin < mine.end; begin += CHANNELS) {
            channels_begin(a, &w, begin, mine.end);
            const hy_range all = {0, w.n};
            for (int64_t t = 0; t < a->T; t++) {
                const int64_t row = t * a->H * a->K + begin;
#define STEP(c, n) bwd_step(a, &w, row, c, n)
                HY_FOR_VECS(c, all, STEP);
#undef STEP
            }
            channels_end(a, &w);
        }
    }
}
