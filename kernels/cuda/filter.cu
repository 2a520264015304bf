/* Filters of convolutions: taps damped with their age, and sums of decaying exponentials. Exponents grow with the token, so those of the
 * latter are formed in double. */
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/rows.cuh"

namespace HY_GPU {

/* ---- window filters: w[c,j] = h[g,j]·e^(−α_g·age_j) ---- */

struct window_of {
    int64_t C, G, W, group; /* group: channels that share a filter */
    double low, high;
    const float *h, *log_alpha, *dw;
    float *w, *dh, *dlog_alpha;
};

HY_DEVICE float window_alpha(const window_of &a, int64_t g) {
    if (a.log_alpha != nullptr)
        return expf(a.log_alpha[g]);
    if (a.high == 0)
        return 0.0f;
    return (float)(a.low * pow(a.high / a.low, a.G > 1 ? (double)g / (double)(a.G - 1) : 0.0));
}

/* From 1 (the oldest tap) to 0. */
HY_DEVICE float tap_age(const window_of &a, int64_t j) {
    return a.W > 1 ? (float)(a.W - 1 - j) / (float)(a.W - 1) : 0.0f;
}

HY_KERNEL(EACH_THREADS, window_filter_fwd_kernel)(const window_of a) {
    each(a.C * a.W, [&](int64_t i) {
        const int64_t g = i / a.W / a.group, j = i % a.W;
        a.w[i] = a.h[g * a.W + j] * expf(-window_alpha(a, g) * tap_age(a, j));
    });
}

/* A warp per filter, a lane per tap. */
HY_KERNEL(EACH_THREADS, window_filter_bwd_kernel)(const window_of a) {
    each_row(a.G, [&](int64_t g) {
        const float alpha = window_alpha(a, g);
        const float d_alpha = lane_sum(a.W, [&](int64_t j) {
            const float damping = expf(-alpha * tap_age(a, j));
            float sum = 0;
            for (int64_t c = g * a.group; c < (g + 1) * a.group; c++)
                sum += a.dw[c * a.W + j];
            a.dh[g * a.W + j] += sum * damping;
            return -sum * a.h[g * a.W + j] * damping * tap_age(a, j);
        });
        if (a.log_alpha != nullptr && lane_index() == 0)
            a.dlog_alpha[g] += d_alpha * alpha;
    });
}

static window_of window_args(const hy_window_filter_args *a) {
    return {a->C,
            a->G,
            a->W,
            a->G > 0 ? a->C / a->G : 0,
            a->low,
            a->high,
            static_cast<const float *>(a->h),
            static_cast<const float *>(a->log_alpha),
            static_cast<const float *>(a->dw),
            static_cast<float *>(a->w),
            static_cast<float *>(a->dh),
            static_cast<float *>(a->dlog_alpha)};
}

static void window_filter_fwd(const hy_window_filter_args *a) {
    HY_LAUNCH(window_filter_fwd_kernel, blocks_for(a->C * a->W), EACH_THREADS, 0, window_args(a));
}

static void window_filter_bwd(const hy_window_filter_args *a) {
    HY_LAUNCH(window_filter_bwd_kernel, blocks_for_rows(a->G), EACH_THREADS, 0, window_args(a));
}

/* ---- modal filters: h[c,τ] = Σ_n R e^(−softplus(p)·τ) ---- */

HY_DEVICE double modal_rate(float p) {
    return fmax((double)p, 0.0) + log1p(exp(-fabs((double)p)));
}

HY_KERNEL(EACH_THREADS, modal_filter_fwd_kernel)(const hy_modal_filter_args a) {
    each(a.C * a.L, [&](int64_t i) {
        const int64_t at = (a.first + i / a.L) / a.group * a.N, t = i % a.L;
        const float *R = static_cast<const float *>(a.R) + at, *p = static_cast<const float *>(a.p) + at;
        float sum = 0;
        for (int64_t n = 0; n < a.N; n++)
            sum += R[n] * (float)exp(-modal_rate(p[n]) * (double)t);
        static_cast<float *>(a.h)[i] = sum;
    });
}

/* A warp per group that has channels here and mode: its channels one after the other, lanes along the lags. */
HY_KERNEL(EACH_THREADS, modal_filter_bwd_kernel)(const hy_modal_filter_args a) {
    const int64_t first_group = a.first / a.group, groups = (a.first + a.C - 1) / a.group - first_group + 1;
    each_row(groups * a.N, [&](int64_t row) {
        const int64_t g = first_group + row / a.N, at = g * a.N + row % a.N;
        const int64_t begin = g * a.group > a.first ? g * a.group - a.first : 0;
        const int64_t behind_last = (g + 1) * a.group - a.first < a.C ? (g + 1) * a.group - a.first : a.C;
        const float R = static_cast<const float *>(a.R)[at], p = static_cast<const float *>(a.p)[at];
        const double rate = modal_rate(p);
        double sum = 0, aged = 0;
        for (int64_t c = begin; c < behind_last; c++) {
            const float *dh = static_cast<const float *>(a.dh) + c * a.L;
            each_lane(a.L, [&](int64_t t) {
                const double term = (double)dh[t] * exp(-rate * (double)t);
                sum += term;
                aged += term * (double)t;
            });
        }
        sum = warp_sum(sum);
        aged = warp_sum(aged);
        if (lane_index() == 0) {
            static_cast<float *>(a.dR)[at] += (float)sum;
            static_cast<float *>(a.dp)[at] -= (float)((double)R * aged * (double)sigmoid(p));
        }
    });
}

static void modal_filter_fwd(const hy_modal_filter_args *a) {
    HY_LAUNCH(modal_filter_fwd_kernel, blocks_for(a->C * a->L), EACH_THREADS, 0, *a);
}

static void modal_filter_bwd(const hy_modal_filter_args *a) {
    if (a->C > 0)
        HY_LAUNCH(modal_filter_bwd_kernel,
                  blocks_for_rows(((a->first + a->C - 1) / a->group - a->first / a->group + 1) * a->N), EACH_THREADS, 0,
                  *a);
}

template <hy_dtype P> static void filter_entries(hy_table *table) {
    table->window_filter_fwd = window_filter_fwd;
    table->window_filter_bwd = window_filter_bwd;
    table->modal_filter_fwd = modal_filter_fwd;
    table->modal_filter_bwd = modal_filter_bwd;
}

void overlay_filter(hy_table *table) {
    HY_OVERLAY(filter_entries, table);
}

} // namespace HY_GPU
