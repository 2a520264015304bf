/* Softmax attention, forward, of a pair that the host knows (kernels.h, hy_attn_sight), by cuDNN: its o and log-sum-exp of the pair go into
 * scratch and are merged into the running ones. Only with plans that were made, and stood a trial, before the step (hy_device_plan_attn): here
 * nothing is compiled, read back or waited for. */
#include "kernels/cuda/attn.cuh"
#include "kernels/cuda/rows.cuh"
extern "C" {
#include "kernels/cuda/cudnn_attention.h"
}

namespace HY_GPU {

#ifdef __CUDACC__
static const hy_cudnn_side SIDE = HY_CUDNN_GPU;
#else
static const hy_cudnn_side SIDE = HY_CUDNN_HOST;
#endif

/* ---- merging ---- */

struct merge_of {
    int64_t nq, H, DV;
    const float *stats; /* [H,nq] */
    array part, o;      /* [nq,H,DV]: bf16, float */
    float *lse;         /* [nq,H] */
};

HY_KERNEL(EACH_THREADS, attn_merge_kernel)(const merge_of a) {
    each_row(a.nq * a.H, [&](int64_t row) {
        const float here = a.stats[row % a.H * a.nq + row / a.H], old = a.lse[row];
        const float top = fmaxf(here, old), weight = expf(here - top), old_weight = expf(old - top);
        const float keep = old_weight / (weight + old_weight), add = weight / (weight + old_weight);
        warp_barrier(); /* all lanes have read lse */
        if (lane_index() == 0)
            a.lse[row] = top + logf(weight + old_weight);
        each_lane(a.DV, [&](int64_t c) {
            const int64_t at = row * a.DV + c;
            put(a.o, at, get(a.part, at) * add + (keep > 0 ? get(a.o, at) * keep : 0.0f));
        });
    });
}

/* ---- plans ---- */

static bool has_form(const hy_attn_args *a) {
    return a->HKV > 0 && a->H % a->HKV == 0 && a->D % 8 == 0 && a->DV % 8 == 0 && a->D <= ATTN_WIDEST &&
           a->DV <= ATTN_WIDEST;
}

static hy_cudnn_shape shape_of(const hy_attn_args *a) {
    return {a->H, a->HKV, a->D, a->DV, a->known.nq, a->known.nk, a->sight == HY_ATTN_CAUSAL};
}

bool attn_cudnn_plan(const hy_attn_args *a, hy_attn_plan_step step) {
    const hy_cudnn_shape s = shape_of(a);
    if (a->sight == HY_ATTN_SOME || s.nq == 0 || s.nk == 0 || !has_form(a))
        return false;
    switch (step) {
    case HY_ATTN_PLAN_MAKE:
        return hy_cudnn_plan_make(SIDE, &s);
    case HY_ATTN_PLAN_ACCEPT:
    case HY_ATTN_PLAN_REFUSE:
        hy_cudnn_plan_judge(SIDE, &s, step == HY_ATTN_PLAN_ACCEPT);
        return step == HY_ATTN_PLAN_ACCEPT;
    case HY_ATTN_PLAN_FIND:
        break;
    }
    return hy_cudnn_plan_is_accepted(SIDE, &s);
}

/* ---- a call ---- */

static const void *from_row(const void *at, int64_t elements) {
    return static_cast<const uint16_t *>(at) + elements;
}

static bool is_for_cudnn(const hy_attn_args *a) {
    const void *const arrays[] = {a->q, a->k, a->v};
    bool is = a->sight != HY_ATTN_SOME && a->known.nq > 0 && a->known.nk > 0 && has_form(a);
    for (const void *array : arrays)
        is = is && (uintptr_t)array % 16 == 0;
    return is;
}

static size_t bytes_of_o(const hy_attn_args *a, int64_t nq) {
    return ((size_t)(nq * a->H * a->DV) * sizeof(uint16_t) + 255) / 256 * 256;
}

size_t attn_cudnn_work(const hy_attn_args *a) {
    const bool may =
        hy_cudnn_known_from(SIDE) > 0 && has_form(a); /* of any size: who makes a plan decides what is worth one */
    return may ? bytes_of_o(a, a->nq) + (size_t)(a->nq * a->H) * sizeof(float) : 0;
}

bool attn_fwd_cudnn(const hy_attn_args *a) {
    const hy_attn_pair &p = a->known;
    const hy_cudnn_shape s = shape_of(a);
    hy_cudnn_plan *const plan = is_for_cudnn(a) ? hy_cudnn_plan_find(SIDE, &s) : nullptr;
    if (plan == nullptr)
        return false;
    char *const scratch = static_cast<char *>(a->work);
    const int64_t row = p.q * a->H;
    const hy_cudnn_arrays x = {from_row(a->q, row * a->D),
                               from_row(a->k, p.k * a->HKV * a->D),
                               from_row(a->v, p.k * a->HKV * a->DV),
                               scratch,
                               scratch + bytes_of_o(a, p.nq),
                               workspace(HY_CUDNN_WORK),
                               (float)a->scale};
    if (!hy_cudnn_plan_run(SIDE, plan, &x))
        return false;
    const merge_of merge = {p.nq,
                            a->H,
                            a->DV,
                            static_cast<const float *>(x.stats),
                            array_of<HY_BF16>(HY_ROLE_ACT, x.o),
                            behind(array_of<HY_BF16>(HY_ROLE_STAT, a->o), row * a->DV),
                            static_cast<float *>(a->lse) + row};
    HY_LAUNCH(attn_merge_kernel, blocks_for_rows(p.nq * a->H), EACH_THREADS, 0, merge);
    return true;
}

} // namespace HY_GPU
