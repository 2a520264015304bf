/* A library's plan for attention of a pair stands a trial before it is used: the pair with random numbers, by the plan and by the own kernel, and some
 * of its queries compared. Outside of steps, where the host may wait: in one, a lane may be waiting for what only the host does. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "kernels/device_internal.h"

enum { QUERIES = 64, HALVES = 1 << 16 }; /* compared; written at a time */

enum { Q, K, V, LO, PAIR, WORK, O_OWN, O_PLAN, LSE_OWN, LSE_PLAN, ARRAYS };

typedef struct trial {
    hy_device *device;
    int64_t elements[ARRAYS];
    char *at[ARRAYS];
    void *memory;
} trial;

static size_t element_size(const trial *t, int array) {
    switch (array) {
    case Q:
    case K:
    case V:
        return hy_role_size(t->device->profile.dtype, HY_ROLE_ACT);
    case LO:
        return sizeof(int64_t);
    case PAIR:
        return sizeof(hy_attn_pair);
    case WORK:
        return 1;
    default:
        return hy_role_size(t->device->profile.dtype, HY_ROLE_STAT);
    }
}

static hy_status reserve(trial *t) {
    size_t bytes = 0, begin[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) {
        begin[i] = bytes;
        bytes += ((size_t)t->elements[i] * element_size(t, i) + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
    }
    HY_TRY(hy_device_alloc(t->device, "trial of attention", bytes, &t->memory));
    for (int i = 0; i < ARRAYS; i++) {
        t->at[i] = (char *)t->memory + begin[i];
    }
    return HY_OK;
}

static void count(trial *t, const hy_attn_args *a) {
    const int64_t nq = a->known.nq, nk = a->known.nk;
    hy_attn_args sizes = *a;
    sizes.nq = nq;
    sizes.nk = nk;
    const int64_t elements[ARRAYS] = {[Q] = nq * a->H * a->D,
                                      [K] = nk * a->HKV * a->D,
                                      [V] = nk * a->HKV * a->DV,
                                      [LO] = nq,
                                      [PAIR] = 1,
                                      [WORK] = (int64_t)t->device->profile.attn_work(&sizes),
                                      [O_OWN] = nq * a->H * a->DV,
                                      [O_PLAN] = nq * a->H * a->DV,
                                      [LSE_OWN] = nq * a->H,
                                      [LSE_PLAN] = nq * a->H};
    memcpy(t->elements, elements, sizeof elements);
}

/* Numbers of −2 .. 2: scores that differ, and so do the weights. */
static void draw(const trial *t, int array) {
    uint16_t some[HALVES];
    for (int64_t at = 0; at < t->elements[array]; at += HALVES) {
        const int64_t n = t->elements[array] - at < HALVES ? t->elements[array] - at : HALVES;
        for (int64_t i = 0; i < n; i++) {
            some[i] = hy_float_to_bf16((float)(4.0 * hy_random_uniform(1, (uint64_t)array, (uint64_t)(at + i)) - 2.0));
        }
        hy_device_write(t->device, some, (size_t)n * sizeof *some, t->at[array] + (size_t)at * sizeof *some);
    }
}

static hy_attn_args args_of(const trial *t, const hy_attn_args *a, int o, int lse) {
    hy_attn_args args = *a;
    args.pairs = (const hy_attn_pair *)(const void *)t->at[PAIR];
    args.n_pairs = 1;
    args.nq = a->known.nq;
    args.nk = a->known.nk;
    args.lo = (const int64_t *)(const void *)t->at[LO];
    args.q = t->at[Q];
    args.k = t->at[K];
    args.v = t->at[V];
    args.work = t->at[WORK];
    args.o = t->at[o];
    args.lse = t->at[lse];
    hy_fill(t->device,
            &(hy_fill_args){.n = a->known.nq * a->H, .value = -INFINITY, .y = args.lse, .role = HY_ROLE_STAT});
    return args;
}

static void compute(const trial *t, const hy_attn_args *a) {
    const hy_attn_pair pair = {
        .nq = a->known.nq, .q_begin = a->sight == HY_ATTN_ALL ? a->known.nk : 0, .nk = a->known.nk};
    hy_device_write(t->device, &pair, sizeof pair, t->at[PAIR]);
    hy_attn_args by_plan = args_of(t, a, O_PLAN, LSE_PLAN), own = args_of(t, a, O_OWN, LSE_OWN);
    by_plan.known = pair;
    own.sight = HY_ATTN_SOME;
    own.known = (hy_attn_pair){0};
    hy_attn_fwd(t->device, &by_plan);
    hy_attn_fwd(t->device, &own);
}

/* A head's row: both round weights and results to bf16, whose errors are a few thousandths of the row. */
static bool is_close(const float *by_plan, const float *own, int64_t n) {
    double off = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        const double by = (double)by_plan[i] - (double)own[i];
        off += by * by;
        size += (double)own[i] * (double)own[i];
    }
    return sqrt(off) <= 0.02 * sqrt(size) + 1e-6;
}

static bool is_query_close(const trial *t, const hy_attn_args *a, int64_t query, float *rows) {
    const int64_t row = a->H * a->DV;
    float *lse = rows + 2 * row;
    bool close = true;
    for (int i = 0; i < 2; i++) {
        hy_device_read(t->device, t->at[O_OWN + i] + (size_t)(query * row) * sizeof *rows, (size_t)row * sizeof *rows,
                       rows + i * row);
        hy_device_read(t->device, t->at[LSE_OWN + i] + (size_t)(query * a->H) * sizeof *lse, (size_t)a->H * sizeof *lse,
                       lse + i * a->H);
    }
    for (int64_t h = 0; h < a->H; h++) {
        close = close && is_close(rows + row + h * a->DV, rows + h * a->DV, a->DV) &&
                fabsf(lse[a->H + h] - lse[h]) <= 0.004f + 0.0003f * fabsf(lse[h]);
    }
    return close;
}

static bool are_close(const trial *t, const hy_attn_args *a, float *rows) {
    const int64_t n = a->known.nq < QUERIES ? a->known.nq : QUERIES;
    int64_t close = 0;
    for (int64_t i = 0; i < n; i++) {
        close += is_query_close(t, a, n > 1 ? i * (a->known.nq - 1) / (n - 1) : 0, rows);
    }
    if (close < n) {
        hy_warn("attention of %lld heads, %lld queries, %lld keys: %lld of %lld queries by the library are not what "
                "they should be: "
                "the own kernel computes it",
                (long long)a->H, (long long)a->known.nq, (long long)a->known.nk, (long long)(n - close), (long long)n);
    }
    return close == n;
}

static bool stands_trial(hy_device *device, const hy_attn_args *a) {
    trial t = {.device = device};
    float *rows = NULL;
    bool stands = false;
    count(&t, a);
    hy_status status = HY_NEW("trial of attention", 2 * a->H * (a->DV + 1), &rows);
    status = status == HY_OK ? reserve(&t) : status;
    if (status == HY_OK) {
        draw(&t, Q);
        draw(&t, K);
        draw(&t, V);
        compute(&t, a);
        stands = are_close(&t, a, rows);
    } else {
        hy_warn("no memory for the trial of a library's attention, which the own kernel computes");
    }
    hy_device_free(device, t.memory);
    hy_free(rows);
    return stands;
}

bool hy_device_has_attn_plan(const hy_device *device, const hy_attn_args *a) {
    return device->table.attn_plan != NULL && device->table.attn_plan(a, HY_ATTN_PLAN_FIND);
}

void hy_device_plan_attn(hy_device *device, const hy_attn_args *a) {
    if (device->table.attn_plan == NULL || device->profile.tuning.attn_known == 0 ||
        hy_device_has_attn_plan(device, a)) {
        return;
    }
    for (int lane = 0; lane < HY_LANES; lane++) {
        hy_device_wait(device, hy_device_mark(device, (hy_lane)lane));
    }
    if (device->table.attn_plan(a, HY_ATTN_PLAN_MAKE)) {
        const bool stands = stands_trial(device, a);
        (void)device->table.attn_plan(a, stands ? HY_ATTN_PLAN_ACCEPT : HY_ATTN_PLAN_REFUSE);
    }
}
