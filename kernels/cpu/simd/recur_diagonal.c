/* Additive recurrences of vectors, V = 1, with vector decay (mamba1: K states per channel, q and k shared by all
 * channels):  h = e^g ⊙ h + k w,  w = β v;  o = scale·q·h. Lanes are the K states of a channel; g [T,HV,K] is read in
 * the order of memory.
 *
 * Backward: a first sweep keeps h at every 64th token, each segment of 64 tokens then makes its own again, and
 *     dh += scale q do;  dq += scale h do;  dk += w dh;  dw = k·dh;  dg = dh ⊙ e^g h;  dh = e^g dh
 * Channels are split into parts, each with its own sums dq, dk, added in order: the same bits on every call. */
#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_family.h"
#include "kernels/cpu/simd/recur_scan.h"

#define CHANNELS 256 /* most of one task: long rows, or memory is read at a fraction of its speed */

typedef struct block {
    const hy_recur_args *a;
    hy_run run;
    int64_t head, first, n; /* key head, channels */
    int64_t K;              /* rounded up to HY_VL */
    float *state;           /* [CHANNELS,K] h, or its gradient */
    float *kept, *h;        /* [segments,CHANNELS,K], [HY_SEGMENT+1,CHANNELS,K]; backward only */
    float *dq, *dk;         /* [T,H,K] sums of a part */
} block;

static int64_t padded(const hy_recur_args *a) {
    return (a->K + HY_VL - 1) / HY_VL * HY_VL;
}

static int64_t block_floats(const hy_recur_args *a) {
    return hy_round16((1 + a->T / HY_SEGMENT + 1 + HY_SEGMENT + 1) * CHANNELS * padded(a));
}

static int64_t part_floats(const hy_recur_args *a) {
    return block_floats(a) + 2 * hy_round16(a->T * a->H * a->K);
}

int64_t HY_ISA_NAME(hy_recur_diagonal_floats)(const hy_recur_args *a) {
    return part_floats(a) * omp_get_max_threads();
}

static const hy_elem *key_row(const block *b, const void *keys, int64_t t) {
    return (const hy_elem *)keys + (t * b->a->H + b->head) * b->a->K;
}

static int64_t value_at(const block *b, int64_t t, int64_t c) {
    return t * b->a->HV + b->first + c;
}

static float written(const block *b, int64_t at) {
    return hy_elem_get((const hy_elem *)b->a->v + at) * (b->a->beta ? ((const float *)b->a->beta)[at] : 1);
}

static void load(block *b, const void *states, int64_t slot) {
    const int64_t K = b->a->K;
    const float *from = states && slot >= 0 ? (const float *)states + value_at(b, slot, 0) * K : NULL;
    for (int64_t c = 0; c < b->n; c++)
        for (int64_t j = 0; j < b->K; j += HY_VL)
            hy_vec_store(b->state + c * b->K + j, from ? hy_vec_load_tail(from + c * K + j, K - j) : hy_vec_zero());
}

static void store(const block *b, void *states, int64_t slot) {
    const int64_t K = b->a->K;
    for (int64_t c = 0; states && slot >= 0 && c < b->n; c++)
        for (int64_t j = 0; j < K; j += HY_VL)
            hy_vec_store_tail((float *)states + value_at(b, slot, c) * K + j, hy_vec_load(b->state + c * b->K + j),
                              K - j);
}

/* K consecutive elements, all lanes there if `whole`. */
#define lanes(p, j, K, whole) ((whole) ? hy_vec_load((p) + (j)) : hy_vec_load_tail((p) + (j), (K) - (j)))

/* One token: h of all channels; o, if not NULL, is written or, without v, added to. The flags are constants. */
HY_INLINE void advance_channels(block *b, int64_t t, int with_v, int with_o, int whole, hy_elem *o) {
    const hy_recur_args *a = b->a;
    const int64_t K = a->K, wide = b->K, at = value_at(b, t, 0);
    const float scale = (float)a->scale, *g = (const float *)a->g + at * K;
    const hy_elem *k = with_v ? key_row(b, a->k, t) : NULL, *q = with_o ? key_row(b, a->q, t) : NULL;
    for (int64_t c = 0; c < b->n; c++, g += K) {
        const hy_vec w = hy_vec_set(with_v ? written(b, at + c) : 0);
        float *state = b->state + c * wide;
        hy_vec sum = hy_vec_zero();
        for (int64_t j = 0; j < K; j += HY_VL) {
            hy_vec h = hy_vec_exp(lanes(g, j, K, whole)) * hy_vec_load(state + j);
            if (with_v)
                h += w * lanes(k, j, K, whole);
            hy_vec_store(state + j, h);
            if (with_o)
                sum += h * lanes(q, j, K, whole);
        }
        if (with_o)
            hy_elem_put(o + at + c, (with_v ? 0 : hy_elem_get(o + at + c)) + scale * hy_vec_sum(sum));
    }
}

static void advance_token(block *b, int64_t t, int with_v, hy_elem *o) {
    const int whole = b->a->K == b->K;
    if (!with_v)
        advance_channels(b, t, 0, 1, 0, o);
    else if (o && whole)
        advance_channels(b, t, 1, 1, 1, o);
    else if (o)
        advance_channels(b, t, 1, 1, 0, o);
    else if (whole)
        advance_channels(b, t, 1, 0, 1, NULL);
    else
        advance_channels(b, t, 1, 0, 0, NULL);
}

static void advance(block *b, int with_v, hy_elem *o) {
    for (int64_t t = b->run.begin; t < b->run.begin + b->run.len; t++)
        advance_token(b, t, with_v, o);
}

static void fwd(block *b) {
    load(b, b->a->S0, b->run.s0);
    advance(b, 1, b->a->o);
    store(b, b->a->S1, b->run.s1);
}

static void inject(block *b) {
    if (b->run.s0 < 0 || !b->a->S0)
        return;
    load(b, b->a->S0, b->run.s0);
    advance(b, 0, b->a->o);
}

/* e^Σg as states; the sum compensated, since its absolute error is the result's relative one. */
static void transition(block *b) {
    const int64_t K = b->a->K;
    for (int64_t c = 0; c < b->n; c++)
        for (int64_t j = 0; j < K; j += HY_VL) {
            hy_vec sum = hy_vec_zero(), lost = hy_vec_zero();
            for (int64_t t = b->run.begin; t < b->run.begin + b->run.len; t++) {
                const float *g = (const float *)b->a->g + value_at(b, t, c) * K + j;
                const hy_vec term = hy_vec_load_tail(g, K - j) - lost, next = sum + term;
                lost = (next - sum) - term;
                sum = next;
            }
            hy_vec_store(b->state + c * b->K + j, b->run.s0 >= 0 ? hy_vec_exp(sum) : hy_vec_zero());
        }
}

static void map(block *b) {
    if (b->run.s1 < 0)
        return;
    load(b, NULL, -1);
    advance(b, 1, NULL);
    store(b, b->a->H_map, b->run.s1);
    if (b->a->A_map) {
        transition(b);
        store(b, b->a->A_map, b->run.s1);
    }
}

static void map_bwd(block *b) {
    const hy_recur_args *a = b->a;
    if (b->run.s0 < 0)
        return;
    load(b, NULL, -1);
    for (int64_t t = b->run.begin + b->run.len - 1; t >= b->run.begin; t--) {
        const hy_elem *q = key_row(b, a->q, t);
        for (int64_t c = 0; c < b->n; c++) {
            const int64_t at = value_at(b, t, c);
            const hy_vec d_o = hy_vec_set((float)a->scale * hy_elem_get((const hy_elem *)a->d_o + at));
            for (int64_t j = 0; j < a->K; j += HY_VL) {
                float *dh = b->state + c * b->K + j;
                const hy_vec e = hy_vec_exp(hy_vec_load_tail((const float *)a->g + at * a->K + j, a->K - j));
                hy_vec_store(dh, e * (hy_vec_load(dh) + d_o * hy_vec_load_tail(q + j, a->K - j)));
            }
        }
    }
    store(b, a->dH, b->run.s0);
}

/* One token backward, h before it; adds to the part's dq, dk. `whole` is a constant. */
HY_INLINE void bwd_channels(block *b, int64_t t, const float *h, int whole) {
    const hy_recur_args *a = b->a;
    const int64_t K = a->K, wide = b->K, at = value_at(b, t, 0), row = (t * a->H + b->head) * K;
    const hy_elem *q = (const hy_elem *)a->q + row, *k = (const hy_elem *)a->k + row, *v = (const hy_elem *)a->v + at;
    const float *g = (const float *)a->g + at * K, *beta = a->beta ? (const float *)a->beta + at : NULL;
    float *dq = b->dq + row, *dk = b->dk + row, *dg = a->dg ? (float *)a->dg + at * K : NULL;
    for (int64_t c = 0; c < b->n; c++) {
        const float rate = beta ? beta[c] : 1, value = hy_elem_get(v + c);
        const hy_vec w = hy_vec_set(value * rate),
                     d_o = hy_vec_set((float)a->scale * hy_elem_get((const hy_elem *)a->d_o + at + c));
        hy_vec sum = hy_vec_zero();
        for (int64_t j = 0; j < K; j += HY_VL) {
            const hy_vec qj = lanes(q, j, K, whole), kj = lanes(k, j, K, whole);
            const hy_vec e = hy_vec_exp(lanes(g + c * K, j, K, whole)), decayed = e * hy_vec_load(h + c * wide + j);
            const hy_vec dh = hy_vec_load(b->state + c * wide + j) + d_o * qj;
            const int64_t n = whole ? HY_VL : K - j;
            hy_vec_store_tail(dq + j, lanes(dq, j, K, whole) + d_o * (decayed + w * kj), n);
            hy_vec_store_tail(dk + j, lanes(dk, j, K, whole) + w * dh, n);
            if (dg)
                hy_vec_store_tail(dg + c * K + j, dh * decayed, n);
            hy_vec_store(b->state + c * wide + j, e * dh);
            sum += kj * dh;
        }
        const float dw = hy_vec_sum(sum);
        hy_elem_put((hy_elem *)a->dv + at + c, dw * rate);
        if (a->dbeta)
            ((float *)a->dbeta)[at + c] = dw * value;
    }
}

static void bwd_segment(block *b, int64_t begin, int64_t end) {
    for (int64_t t = end - 1; t >= begin; t--) {
        const float *h = b->h + (t - begin) * CHANNELS * b->K;
        if (b->a->K == b->K)
            bwd_channels(b, t, h, 1);
        else
            bwd_channels(b, t, h, 0);
    }
}

static void bwd(block *b) {
    const int64_t begin = b->run.begin, end = begin + b->run.len, size = CHANNELS * b->K;
    float *gradient = b->state;
    load(b, b->a->dS1, b->run.s1);
    b->state = b->kept;
    load(b, b->a->S0, b->run.s0);
    for (int64_t t = begin; t < end; t++) {
        if (t > begin && (t - begin) % HY_SEGMENT == 0) {
            memcpy(b->state + size, b->state, (size_t)size * sizeof(float));
            b->state += size;
        }
        advance_token(b, t, 1, NULL);
    }
    /* Entry s has moved on to the state at the end of segment s. */
    for (int64_t seg = (b->run.len + HY_SEGMENT - 1) / HY_SEGMENT - 1; seg >= 0; seg--) {
        const int64_t first = begin + seg * HY_SEGMENT, last = first + HY_SEGMENT < end ? first + HY_SEGMENT : end;
        b->state = b->h;
        if (seg == 0)
            load(b, b->a->S0, b->run.s0);
        else
            memcpy(b->h, b->kept + (seg - 1) * size, (size_t)size * sizeof(float));
        for (int64_t t = first; t < last; t++) {
            memcpy(b->state + size, b->state, (size_t)size * sizeof(float));
            b->state += size;
            advance_token(b, t, 1, NULL);
        }
        b->state = gradient;
        bwd_segment(b, first, last);
    }
    b->state = gradient;
    store(b, b->a->dS0, b->run.s0);
}

/* Every block of channels of every run: blocks are dealt out to as many parts as there are threads. */
static void each_block(const hy_recur_args *a, void (*one)(block *b), int64_t parts) {
    const int64_t group = a->H ? a->HV / a->H : 0, share = a->H < parts ? group / parts + 1 : group;
    const int64_t width = share < CHANNELS ? share : CHANNELS, per_head = width ? (group + width - 1) / width : 0;
    const int64_t tasks = a->H * per_head;
    const int64_t size = CHANNELS * padded(a), keys = a->T * a->H * a->K;
#pragma omp parallel for schedule(static, 1)
    for (int64_t p = 0; p < parts; p++) {
        HY_FLUSH_SUBNORMALS;
        hy_scratch m = {hy_align_floats(a->work) + p * part_floats(a), 0};
        block b = {.a = a, .K = padded(a)};
        b.dq = hy_scratch_take(&m, keys);
        b.dk = hy_scratch_take(&m, keys);
        b.state = hy_scratch_take(&m, size);
        b.h = hy_scratch_take(&m, (HY_SEGMENT + 1) * size);
        b.kept = m.base + m.used;
        for (int64_t i = tasks * p / parts; i < tasks * (p + 1) / parts; i++)
            for (int64_t r = 0; r < a->n_runs; r++) {
                const int64_t into = i % per_head * width;
                b.run = a->runs[r];
                b.head = i / per_head;
                b.first = b.head * group + into;
                b.n = group - into < width ? group - into : width;
                one(&b);
            }
    }
}

#define HY_DIAGONAL(op)                                                                                                \
    void HY_ISA_NAME(hy_recur_diagonal_##op)(const hy_recur_args *a) {                                                 \
        each_block(a, op, omp_get_max_threads());                                                                      \
    }
HY_DIAGONAL(fwd)
HY_DIAGONAL(inject)
HY_DIAGONAL(map)
HY_DIAGONAL(map_bwd)

/* Tokens of a run in the sums of every part: made zero, or added up into dq, dk. */
static void run_sums(const hy_recur_args *a, const hy_run *run, int64_t parts, int add) {
    const int64_t row = a->H * a->K, begin = run->begin * row, end = begin + run->len * row,
                  keys = hy_round16(a->T * row);
    float *sums = hy_align_floats(a->work);
    hy_elem *out[] = {a->dq, a->dk};
    HY_FLUSH_SUBNORMALS;
    for (int64_t which = 0; which < 2; which++, sums += keys) {
        for (int64_t p = 0; !add && p < parts; p++)
            memset(sums + p * part_floats(a) + begin, 0, (size_t)(end - begin) * sizeof(float));
        for (int64_t i = begin; add && i < end; i++) {
            float sum = 0;
            for (int64_t p = 0; p < parts; p++)
                sum += sums[p * part_floats(a) + i];
            hy_elem_put(out[which] + i, sum);
        }
    }
}

void HY_ISA_NAME(hy_recur_diagonal_bwd)(const hy_recur_args *a) {
    const int64_t parts = omp_get_max_threads();
    for (int64_t r = 0; r < a->n_runs; r++)
        run_sums(a, &a->runs[r], parts, 0);
    each_block(a, bwd, parts);
    for (int64_t r = 0; r < a->n_runs; r++)
        run_sums(a, &a->runs[r], parts, 1);
}
