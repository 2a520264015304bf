/* Reference softmax attention, pair by pair. Per query: scores s_j = scale·q·k_j over the keys it sees, first
 * their maximum, then p_j = e^{s_j − max}; the pair's result is merged into the running one by their log-sum-exps.
 * Backward with the final lse: p = e^{s − lse}, ds = p(d_o·v − delta); dq in one pass over queries, dk and dv in one
 * over keys, so that every sum is kept in double until it is complete. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/attn_block.h"
#include "kernels/cpu/ref.h"

size_t hy_ref_attn_work(const hy_attn_args *a) {
    return (size_t)(omp_get_max_threads() * (a->D + a->DV)) * sizeof(double);
}

static double *attn_scratch(const hy_attn_block *a) {
    return (double *)a->work + omp_get_thread_num() * (a->D + a->DV);
}

static int attn_worth_threads(const hy_attn_block *a) {
    return a->nq * a->nk * a->H * (a->D + a->DV) > 1 << 16;
}

/* Indices [*first, *last) of the block's keys that query i sees. */
static void keys_seen(const hy_attn_block *a, int64_t i, int64_t *first, int64_t *last) {
    const int64_t lo = a->lo[i] - a->k_begin, hi = a->q_begin + i + 1 - a->k_begin;
    *first = lo > 0 ? lo : 0;
    *last = hi < a->nk ? hi : a->nk;
}

#define REF_BODY "kernels/cpu/ref_attention.inc"
#include "kernels/cpu/ref_precisions.h"
