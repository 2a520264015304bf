/* Softmax attention, forward, of a pair that the host knows (kernels.h, hy_attn_sight), by cuDNN: its o and log-sum-exp of the pair go into
 * scratch and are merged into the running ones. Nothing is taken on trust: before a shape's first result is used, rows of it are computed
 * here as the definition says, and so are those of a small problem of random numbers with the same heads, whose scores are sure to differ.
 * One row that is off, and cuDNN is asked for nothing more. */
#include <stdio.h>

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

/* Queries of a call that are looked at, of all heads; the random problem's size. */
enum : int64_t { LOOKED_AT = 16, TRIAL_QUERIES = 72, TRIAL_KEYS = 56 };

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

/* ---- looking ---- */

struct look_of {
    hy_cudnn_shape s;
    float scale;
    array q, k, v, o;
    const float *stats;
    int64_t queries; /* looked at, from the first to the last */
    int *wrong;      /* [queries,H] */
};

HY_DEVICE bool is_number(float x) {
    return x - x == 0.0f;
}

/* Of a row: Σ p·v and Σ p·|v| of the lane's channels, the maximum and sum of the exponentials. */
struct looked {
    float sum[ATTN_WIDEST / 32], size[ATTN_WIDEST / 32], max, weights;
};

HY_DEVICE looked look_at_row(const look_of &a, int64_t query, int64_t head) {
    const int64_t key_head = head / (a.s.H / a.s.HKV), keys = a.s.causal ? query + 1 : a.s.nk;
    looked x;
    x.max = -INFINITY, x.weights = 0;
    HY_UNROLL
    for (int i = 0; i < ATTN_WIDEST / 32; i++)
        x.sum[i] = x.size[i] = 0;
    for (int64_t j = 0; j < keys; j++) {
        const int64_t key = (j * a.s.HKV + key_head) * a.s.D, value = (j * a.s.HKV + key_head) * a.s.DV;
        const float score = a.scale * lane_sum(a.s.D, [&](int64_t c) {
                                return get(a.q, (query * a.s.H + head) * a.s.D + c) * get(a.k, key + c);
                            });
        const float max = fmaxf(x.max, score), keep = expf(x.max - max), weight = expf(score - max);
        x.max = max;
        x.weights = x.weights * keep + weight;
        HY_UNROLL
        for (int i = 0; i < ATTN_WIDEST / 32; i++) {
            const int64_t c = lane_index() + 32 * i;
            const float v = c < a.s.DV ? get(a.v, value + c) : 0.0f;
            x.sum[i] = x.sum[i] * keep + weight * v;
            x.size[i] = x.size[i] * keep + weight * fabsf(v);
        }
    }
    return x;
}

/* Weights and results are rounded to bf16, 2^-9 each of what is summed; four times that is let pass. */
HY_DEVICE bool is_off(const look_of &a, const looked &x, int64_t query, int64_t head) {
    const float lse = x.max + logf(x.weights), said = a.stats[head * a.s.nq + query];
    bool off = is_number(lse) && !(fabsf(said - lse) <= 0.00390625f + 0.000244140625f * fabsf(lse));
    HY_UNROLL
    for (int i = 0; i < ATTN_WIDEST / 32; i++) {
        const int64_t c = lane_index() + 32 * i;
        const float o = x.sum[i] / x.weights, bound = 0.015625f * x.size[i] / x.weights;
        if (c < a.s.DV && is_number(o))
            off = off || !(fabsf(get(a.o, (query * a.s.H + head) * a.s.DV + c) - o) <= bound + 1e-30f);
    }
    return off;
}

HY_KERNEL(EACH_THREADS, attn_look_kernel)(const look_of a) {
    each_row(a.queries * a.s.H, [&](int64_t row) {
        const int64_t query = a.queries > 1 ? row / a.s.H * (a.s.nq - 1) / (a.queries - 1) : 0, head = row % a.s.H;
        const looked x = look_at_row(a, query, head);
        const bool off = warp_any(is_off(a, x, query, head));
        if (lane_index() == 0)
            a.wrong[row] = off;
    });
}

/* Numbers of −2 .. 2, each another. */
struct draw_of {
    int64_t n, seed;
    array x;
};

HY_KERNEL(EACH_THREADS, attn_draw_kernel)(const draw_of a) {
    each(a.n, [&](int64_t i) {
        uint32_t bits = (uint32_t)(i + a.seed) * 2654435761u;
        bits = (bits ^ bits >> 15) * 2246822519u;
        bits = (bits ^ bits >> 13) * 3266489917u;
        put(a.x, i, (float)(bits >> 8) * (4.0f / 16777216.0f) - 2.0f);
    });
}

static array halves(const void *at) {
    return array_of<HY_BF16>(HY_ROLE_ACT, at);
}

/* How many of the rows looked at are off. */
static int64_t rows_off(const hy_cudnn_shape &s, const hy_cudnn_arrays &x, int *wrong) {
    const int64_t queries = s.nq < LOOKED_AT ? s.nq : (int64_t)LOOKED_AT, n = queries * s.H;
    const look_of look = {
        s,       x.scale, halves(x.q), halves(x.k), halves(x.v), halves(x.o), static_cast<const float *>(x.stats),
        queries, wrong};
    int64_t off = 0;
    HY_LAUNCH(attn_look_kernel, blocks_for_rows(n), EACH_THREADS, 0, look);
    for (int64_t at = 0; at < n; at += 256) {
        int some[256];
        const int64_t many = n - at < 256 ? n - at : 256;
        hy_cudnn_read(SIDE, some, wrong + at, (size_t)many * sizeof *some);
        for (int64_t i = 0; i < many; i++)
            off += some[i] != 0;
    }
    return off;
}

/* ---- a shape's first call ---- */

/* What lies in the workspace: cuDNN's, the rows that are off, the random problem. */
struct room {
    char *work;
    int *wrong;
    char *rest;
    size_t left;
};

static void *take(room &r, int64_t bytes) {
    void *const at = r.rest;
    const size_t taken = (size_t)(bytes + 255) / 256 * 256;
    r.left = taken <= r.left ? r.left - taken : 0;
    r.rest += taken;
    return at;
}

/* Without the random problem once the plan is trusted. */
static room room_of(const hy_attn_args *a, bool trusted) {
    const size_t flags = (size_t)(LOOKED_AT * a->H) * sizeof(int);
    const size_t bytes = trusted ? HY_CUDNN_WORK + flags + 256 : (size_t)WORKSPACE_BYTES;
    room r = {nullptr, nullptr, static_cast<char *>(workspace(bytes)), bytes};
    r.work = static_cast<char *>(take(r, HY_CUDNN_WORK));
    r.wrong = static_cast<int *>(take(r, (int64_t)flags));
    return r;
}

static void draw(const void *at, int64_t n, int64_t seed) {
    const draw_of args = {n, seed, halves(at)};
    HY_LAUNCH(attn_draw_kernel, blocks_for(n), EACH_THREADS, 0, args);
}

static bool is_right(hy_cudnn_plan *plan, const hy_cudnn_shape &s, const hy_cudnn_arrays &x, int *wrong) {
    const int64_t off = rows_off(s, x, wrong);
    if (off > 0) {
        char why[128];
        snprintf(why, sizeof why, "%lld rows of its attention are not what they should be", (long long)off);
        hy_cudnn_refuse(SIDE, why);
        return false;
    }
    hy_cudnn_plan_trust(plan);
    return true;
}

static bool stands_trial(hy_cudnn_shape s, float scale, room r) {
    s.nq = TRIAL_QUERIES, s.nk = s.causal ? (int64_t)TRIAL_QUERIES : (int64_t)TRIAL_KEYS;
    hy_cudnn_plan *const plan = hy_cudnn_plan_of(SIDE, &s);
    if (plan == nullptr || hy_cudnn_plan_is_trusted(plan))
        return plan != nullptr;
    const int64_t q = s.nq * s.H * s.D, k = s.nk * s.HKV * s.D, v = s.nk * s.HKV * s.DV, o = s.nq * s.H * s.DV;
    hy_cudnn_arrays x = {};
    x.q = take(r, 2 * q), x.k = take(r, 2 * k), x.v = take(r, 2 * v), x.o = take(r, 2 * o);
    x.stats = take(r, s.nq * s.H * (int64_t)sizeof(float));
    x.work = r.work;
    x.scale = scale;
    if (r.left == 0)
        return false;
    draw(x.q, q, 0);
    draw(x.k, k, q);
    draw(x.v, v, q + k);
    return hy_cudnn_plan_run(SIDE, plan, &x) && is_right(plan, s, x, r.wrong);
}

/* ---- a call ---- */

static const void *from_row(const void *at, int64_t elements) {
    return static_cast<const uint16_t *>(at) + elements;
}

static bool is_for_cudnn(const hy_attn_args *a) {
    const void *const arrays[] = {a->q, a->k, a->v};
    bool is = a->sight != HY_ATTN_SOME && a->known.nq > 0 && a->known.nk > 0 && a->D % 8 == 0 && a->DV % 8 == 0 &&
              a->D <= ATTN_WIDEST && a->DV <= ATTN_WIDEST && hy_cudnn_is_wanted(SIDE);
    for (const void *array : arrays)
        is = is && (uintptr_t)array % 16 == 0;
    return is;
}

size_t attn_cudnn_work(const hy_attn_args *a) {
    const size_t o = (size_t)(a->nq * a->H * a->DV) * sizeof(uint16_t), stats = (size_t)(a->nq * a->H) * sizeof(float);
    return hy_cudnn_is_wanted(SIDE) ? (o + 255) / 256 * 256 + stats : 0;
}

bool attn_fwd_cudnn(const hy_attn_args *a) {
    if (!is_for_cudnn(a))
        return false;
    const hy_attn_pair &p = a->known;
    const hy_cudnn_shape s = {a->H, a->HKV, a->D, a->DV, p.nq, p.nk, a->sight == HY_ATTN_CAUSAL};
    hy_cudnn_plan *const plan = hy_cudnn_plan_of(SIDE, &s);
    const float scale = (float)a->scale;
    if (plan == nullptr)
        return false;
    const room r = room_of(a, hy_cudnn_plan_is_trusted(plan));
    if (!hy_cudnn_plan_is_trusted(plan) && !stands_trial(s, scale, r))
        return false;
    char *const scratch = static_cast<char *>(a->work);
    const int64_t row = p.q * a->H;
    const hy_cudnn_arrays x = {from_row(a->q, row * a->D),
                               from_row(a->k, p.k * a->HKV * a->D),
                               from_row(a->v, p.k * a->HKV * a->DV),
                               scratch,
                               scratch + ((size_t)(p.nq * a->H * a->DV) * sizeof(uint16_t) + 255) / 256 * 256,
                               r.work,
                               scale};
    if (!hy_cudnn_plan_run(SIDE, plan, &x) || (!hy_cudnn_plan_is_trusted(plan) && !is_right(plan, s, x, r.wrong)))
        return false;
    const merge_of merge = {p.nq,
                            a->H,
                            a->DV,
                            static_cast<const float *>(x.stats),
                            halves(x.o),
                            behind(array_of<HY_BF16>(HY_ROLE_STAT, a->o), row * a->DV),
                            static_cast<float *>(a->lse) + row};
    HY_LAUNCH(attn_merge_kernel, blocks_for_rows(p.nq * a->H), EACH_THREADS, 0, merge);
    return true;
}

} // namespace HY_GPU
