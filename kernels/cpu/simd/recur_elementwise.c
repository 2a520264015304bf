/* The recurrence of channels without keys, h = e^g h + x, o = scale·h (hgrn): lanes are channels, [T,HV] rows are
 * walked token by token. Memory bounds it: forward reads g and x and writes o, once each.
 *
 * Backward needs h before every token. A first sweep keeps it at every 64th token; each segment of 64 tokens, last to
 * first, then makes its own again. Nothing divides by a decay. */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_family.h"
#include "kernels/cpu/simd/recur_scan.h"

#define BLOCK 1024 /* most channels of one task: long rows, or memory is read at a quarter of its speed */

typedef struct block {
    const hy_recur_args *a;
    hy_run run;
    int64_t first, n;             /* channels */
    float *kept, *h, *e;          /* [segments,BLOCK], [HY_SEGMENT,BLOCK] e^g h and e^g; backward only */
    float state[BLOCK], x[BLOCK]; /* the state, or its gradient; a second row */
} block;

static int64_t block_floats(const hy_recur_args *a) {
    return (a->T / HY_SEGMENT + 2 + 2 * HY_SEGMENT) * BLOCK;
}

int64_t HY_ISA_NAME(hy_recur_elementwise_floats)(const hy_recur_args *a) {
    return block_floats(a) * omp_get_max_threads();
}

static int64_t row_at(const block *b, int64_t t) {
    return t * b->a->HV + b->first;
}

static const hy_elem *row(const block *b, const void *p, int64_t t) {
    return (const hy_elem *)p + row_at(b, t);
}

static hy_elem *row_out(const block *b, void *p, int64_t t) {
    return (hy_elem *)p + row_at(b, t);
}

/* The same of statistics. */
static const float *stat_row(const block *b, const void *p, int64_t t) {
    return (const float *)p + row_at(b, t);
}

static float *stat_row_out(const block *b, void *p, int64_t t) {
    return (float *)p + row_at(b, t);
}

static void load(block *b, const void *states, int64_t slot) {
    const float *from = states && slot >= 0 ? stat_row(b, states, slot) : NULL;
    for (int64_t j = 0; j < b->n; j += HY_VL)
        hy_vec_store(b->state + j, from ? hy_vec_load_tail(from + j, b->n - j) : hy_vec_zero());
}

static void store(const block *b, const float *from, void *states, int64_t slot) {
    for (int64_t j = 0; states && slot >= 0 && j < b->n; j += HY_VL)
        hy_vec_store_tail(stat_row_out(b, states, slot) + j, hy_vec_load(from + j), b->n - j);
}

/* Tokens [begin, end): the state moves on; o, if not NULL, is written or, without x, added to. */
static void advance(block *b, int64_t begin, int64_t end, const void *x, void *o) {
    const hy_vec scale = hy_vec_set((float)b->a->scale);
    for (int64_t t = begin; t < end; t++) {
        const float *g = stat_row(b, b->a->g, t);
        for (int64_t j = 0; j < b->n; j += HY_VL) {
            const int64_t n = b->n - j;
            hy_vec h = hy_vec_exp(hy_vec_load_tail(g + j, n)) * hy_vec_load(b->state + j);
            if (x)
                h += hy_vec_load_tail(row(b, x, t) + j, n);
            hy_vec_store(b->state + j, h);
            if (o) {
                hy_elem *to = row_out(b, o, t) + j;
                hy_vec_store_tail(to, x ? scale * h : hy_vec_load_tail(to, n) + scale * h, n);
            }
        }
    }
}

static void fwd(block *b) {
    load(b, b->a->S0, b->run.s0);
    advance(b, b->run.begin, b->run.begin + b->run.len, b->a->v, b->a->o);
    store(b, b->state, b->a->S1, b->run.s1);
}

static void inject(block *b) {
    if (b->run.s0 < 0 || !b->a->S0)
        return;
    load(b, b->a->S0, b->run.s0);
    advance(b, b->run.begin, b->run.begin + b->run.len, NULL, b->a->o);
}

/* e^Σg into x; the sum compensated, since its absolute error is the result's relative one. */
static void transition(block *b) {
    for (int64_t j = 0; j < b->n; j += HY_VL) {
        hy_vec sum = hy_vec_zero(), lost = hy_vec_zero();
        for (int64_t t = b->run.begin; t < b->run.begin + b->run.len; t++) {
            const hy_vec term = hy_vec_load_tail(stat_row(b, b->a->g, t) + j, b->n - j) - lost, next = sum + term;
            lost = (next - sum) - term;
            sum = next;
        }
        hy_vec_store(b->x + j, b->run.s0 >= 0 ? hy_vec_exp(sum) : hy_vec_zero());
    }
}

static void map(block *b) {
    if (b->run.s1 < 0)
        return;
    load(b, NULL, -1);
    advance(b, b->run.begin, b->run.begin + b->run.len, b->a->v, NULL);
    store(b, b->state, b->a->H_map, b->run.s1);
    if (b->a->A_map) {
        transition(b);
        store(b, b->x, b->a->A_map, b->run.s1);
    }
}

static void map_bwd(block *b) {
    const hy_vec scale = hy_vec_set((float)b->a->scale);
    if (b->run.s0 < 0)
        return;
    load(b, NULL, -1);
    for (int64_t t = b->run.begin + b->run.len - 1; t >= b->run.begin; t--)
        for (int64_t j = 0; j < b->n; j += HY_VL) {
            const int64_t n = b->n - j;
            const hy_vec dh = hy_vec_load(b->state + j) + scale * hy_vec_load_tail(row(b, b->a->d_o, t) + j, n);
            hy_vec_store(b->state + j, dh * hy_vec_exp(hy_vec_load_tail(stat_row(b, b->a->g, t) + j, n)));
        }
    store(b, b->state, b->a->dH, b->run.s0);
}

/* e^g h and e^g of a segment's tokens; h before it in `kept`. */
static void rebuild(block *b, const float *kept, int64_t begin, int64_t end) {
    memcpy(b->x, kept, sizeof b->x);
    for (int64_t t = begin; t < end; t++)
        for (int64_t j = 0; j < b->n; j += HY_VL) {
            const int64_t n = b->n - j, at = (t - begin) * BLOCK + j;
            const hy_vec e = hy_vec_exp(hy_vec_load_tail(stat_row(b, b->a->g, t) + j, n)),
                         h = e * hy_vec_load(b->x + j);
            hy_vec_store(b->e + at, e);
            hy_vec_store(b->h + at, h);
            hy_vec_store(b->x + j, h + hy_vec_load_tail(row(b, b->a->v, t) + j, n));
        }
}

static void bwd_segment(block *b, int64_t begin, int64_t end) {
    const hy_recur_args *a = b->a;
    const hy_vec scale = hy_vec_set((float)a->scale);
    for (int64_t t = end - 1; t >= begin; t--)
        for (int64_t j = 0; j < b->n; j += HY_VL) {
            const int64_t n = b->n - j, at = (t - begin) * BLOCK + j;
            const hy_vec dh = hy_vec_load(b->state + j) + scale * hy_vec_load_tail(row(b, a->d_o, t) + j, n);
            hy_vec_store_tail(row_out(b, a->dv, t) + j, dh, n);
            if (a->dbeta)
                hy_vec_store_tail(stat_row_out(b, a->dbeta, t) + j, dh * hy_vec_load_tail(row(b, a->v, t) + j, n), n);
            if (a->dg)
                hy_vec_store_tail(stat_row_out(b, a->dg, t) + j, dh * hy_vec_load(b->h + at), n);
            hy_vec_store(b->state + j, dh * hy_vec_load(b->e + at));
        }
}

static void bwd(block *b) {
    const int64_t begin = b->run.begin, end = begin + b->run.len;
    load(b, b->a->S0, b->run.s0);
    for (int64_t t = begin; t < end; t += HY_SEGMENT) {
        memcpy(b->kept + (t - begin) / HY_SEGMENT * BLOCK, b->state, sizeof b->state);
        advance(b, t, t + HY_SEGMENT < end ? t + HY_SEGMENT : end, b->a->v, NULL);
    }
    load(b, b->a->dS1, b->run.s1);
    for (int64_t seg = (b->run.len + HY_SEGMENT - 1) / HY_SEGMENT - 1; seg >= 0; seg--) {
        const int64_t first = begin + seg * HY_SEGMENT, last = first + HY_SEGMENT < end ? first + HY_SEGMENT : end;
        rebuild(b, b->kept + seg * BLOCK, first, last);
        bwd_segment(b, first, last);
    }
    store(b, b->state, b->a->dS0, b->run.s0);
}

/* Every block of channels of every run. */
static void each_block(const hy_recur_args *a, void (*one)(block *b)) {
    const int64_t share = hy_round16(a->HV / omp_get_max_threads() + 1), width = share < BLOCK ? share : BLOCK;
    const int64_t blocks = (a->HV + width - 1) / width, floats = block_floats(a);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < a->n_runs * blocks; i++) {
        HY_FLUSH_SUBNORMALS;
        const int64_t first = i % blocks * width;
        block b = {
            .a = a, .run = a->runs[i / blocks], .first = first, .n = a->HV - first < width ? a->HV - first : width};
        hy_scratch m = {hy_align_floats(a->work) + floats * omp_get_thread_num(), 0};
        b.h = hy_scratch_take(&m, HY_SEGMENT * BLOCK);
        b.e = hy_scratch_take(&m, HY_SEGMENT * BLOCK);
        b.kept = m.base + m.used;
        one(&b);
    }
}

#define HY_ELEMENTWISE(op)                                                                                             \
    void HY_ISA_NAME(hy_recur_elementwise_##op)(const hy_recur_args *a) {                                              \
        each_block(a, op);                                                                                             \
    }
HY_ELEMENTWISE(fwd)
HY_ELEMENTWISE(inject)
HY_ELEMENTWISE(map)
HY_ELEMENTWISE(map_bwd)
HY_ELEMENTWISE(bwd)
