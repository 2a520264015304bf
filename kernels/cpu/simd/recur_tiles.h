/* Linear recurrences with one decay per token on AMX tiles (amx.h), in chunks of 64 tokens of one run and one value head: the
 * equations of recur_chunk.h. Products of keys and queries with each other and with the state, of weights with errors, and updates of
 * the state are bf16 products; states, errors, decays and all sums are float, and a state is rounded as a factor only, never where
 * it is carried on.
 *
 * The delta rule's triangular system stays in float, for its solution multiplies what its matrix is off by: 16 tokens at a time are
 * solved with the inverse of a diagonal block (recur_small.h), after what they take from the blocks solved before them.
 *
 * E_ij = e^{Gi−Gj}: inside a block of 16 its exponent is formed; across, with c the token before i's block, it is
 * e^{Gi−Gc} e^{Gc−Gj}, both ≤ 1. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_TILES_H
#define HY_KERNELS_CPU_SIMD_RECUR_TILES_H

#include "kernels/cpu/simd/amx.h"
#include "kernels/cpu/simd/recur_small.h"

#define HY_TILES_CHUNK  HY_SEGMENT
#define HY_TILES_BLOCKS (HY_TILES_CHUNK / HY_CHUNK)

typedef struct hy_tiles_chunk {
    int64_t begin, len, K, V;    /* K, V in whole pairs of tiles */
    hy_half_mat q, k;            /* [64,K] */
    hy_half_mat kt;              /* [K/2,64,2] */
    hy_half_mat pairs;           /* [64,K,2] pairs of rows of k, then of q (backward), */
    hy_half_mat turned;          /* [K,128] and turned: their transposes beside each other */
    hy_mat qk, kk;               /* [64,64] q·k, k·k; lower triangle */
    hy_half_mat p;               /* [64,64] P, times b of its columns or not */
    hy_mat m;                    /* [64,64] −M, times b of its columns or its rows */
    float *er, *ew, *b, *inside; /* [64] e^G, e^{Gn−G}, beta, e^{Gi−Gc} */
    float *before;               /* [4,64] e^{Gc−Gj} by block of i */
    float *own;                  /* [64,16] E inside the blocks, 0 above the diagonal */
    float d;                     /* e^{Gn} */
    float *w;                    /* [4,16,16] of the diagonal blocks, as in recur_weights.h */
    float *t;                    /* [16,16] an inverse */
} hy_tiles_chunk;

HY_INLINE hy_half_mat hy_tiles_take(hy_scratch *m, int64_t rows, int64_t ld) {
    return (hy_half_mat){(uint16_t *)(void *)hy_scratch_take(m, rows * ld / 2), ld};
}

static void hy_tiles_chunk_layout(hy_tiles_chunk *c, const hy_scan *s, hy_scratch *m) {
    const int64_t K = c->K = hy_round32(s->a->K), N = HY_TILES_CHUNK;
    c->V = hy_round32(s->a->V);
    c->q = hy_tiles_take(m, N, K);
    c->k = hy_tiles_take(m, N, K);
    c->kt = hy_tiles_take(m, K / 2, 2 * N);
    c->pairs = hy_tiles_take(m, N, 2 * K);
    c->turned = hy_tiles_take(m, K, 2 * N);
    hy_mat *const squares[] = {&c->qk, &c->kk, &c->m};
    for (int i = 0; i < 3; i++)
        *squares[i] = hy_scratch_mat(m, N, N);
    c->p = hy_tiles_take(m, N, N);
    float **const rows[] = {&c->er, &c->ew, &c->b, &c->inside};
    for (int i = 0; i < 4; i++)
        *rows[i] = hy_scratch_take(m, N);
    c->before = hy_scratch_take(m, HY_TILES_BLOCKS * N);
    c->own = hy_scratch_take(m, N * HY_CHUNK);
    c->w = hy_scratch_take(m, HY_TILES_BLOCKS * 256);
    c->t = hy_scratch_take(m, 256);
}

/* g − G_j, 16 of them. */
HY_INLINE hy_vec hy_tiles_less(double g, const double *G) {
    const __m512d from = _mm512_set1_pd(g);
    const __m256 low = _mm512_cvtpd_ps(_mm512_sub_pd(from, _mm512_loadu_pd(G)));
    const __m256 high = _mm512_cvtpd_ps(_mm512_sub_pd(from, _mm512_loadu_pd(G + 8)));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

/* G in double, as in hy_chunk_decay_scalar. */
static void hy_tiles_decay(hy_tiles_chunk *c, const hy_scan *s) {
    const float *g = s->a->g;
    double G[HY_TILES_CHUNK], sum = 0;
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++) {
        if (g && i < c->len)
            sum += (double)(s->a->decay == HY_DECAY_HEAD ? g[s->vhead] : g[(c->begin + i) * s->a->HV + s->vhead]);
        G[i] = sum;
    }
    c->d = expf((float)sum);
    for (int64_t i = 0; i < HY_TILES_CHUNK; i += HY_CHUNK) {
        const double start = i > 0 ? G[i - 1] : 0;
        hy_vec_store(c->er + i, hy_vec_exp(-hy_tiles_less(0, G + i)));
        hy_vec_store(c->ew + i, hy_vec_exp(hy_tiles_less(sum, G + i)));
        hy_vec_store(c->inside + i, hy_vec_exp(-hy_tiles_less(start, G + i)));
        for (int64_t j = 0; j < i; j += HY_CHUNK)
            hy_vec_store(c->before + i / HY_CHUNK * HY_TILES_CHUNK + j, hy_vec_exp(hy_tiles_less(start, G + j)));
        for (int32_t l = 0; l < HY_CHUNK; l++) {
            const hy_ivec below = hy_ivec_iota() < hy_ivec_set(l + 1);
            const hy_vec x = hy_vec_select(below, hy_tiles_less(G[i + l], G + i), hy_vec_zero());
            hy_vec_store(c->own + (i + l) * HY_CHUNK, hy_vec_select(below, hy_vec_exp(x), hy_vec_zero()));
        }
    }
}

/* E_ij for 16 columns of block `of`; 0 where j ≥ i + diagonal. */
HY_INLINE hy_vec hy_tiles_weight(const hy_tiles_chunk *c, int64_t i, int64_t of, int diagonal) {
    const int64_t block = i / HY_CHUNK;
    if (of > block)
        return hy_vec_zero();
    if (of < block)
        return hy_vec_set(c->inside[i]) * hy_vec_load(c->before + block * HY_TILES_CHUNK + of * HY_CHUNK);
    const hy_vec own = hy_vec_load(c->own + i * HY_CHUNK);
    return diagonal ? own : hy_vec_select(hy_ivec_iota() < hy_ivec_set((int32_t)(i % HY_CHUNK)), own, hy_vec_zero());
}

/* f·x ⊙ E there. Blocks of x above the diagonal's are not read. */
HY_INLINE hy_vec hy_tiles_weigh(const hy_tiles_chunk *c, hy_mat x, int64_t i, int64_t of, float f, int diagonal) {
    if (of > i / HY_CHUNK)
        return hy_vec_zero();
    return hy_vec_set(f) * hy_vec_load(hy_mat_at(x, i, of * 16).p) * hy_tiles_weight(c, i, of, diagonal);
}

/* Lower triangle of A Bᵀ, [64,64]. */
static void hy_tiles_gram(hy_mat out, hy_half_mat a, hy_half_mat bt, int64_t k) {
    hy_tiles_set(out, a, bt, (hy_shape){32, 32, k});
    hy_tiles_set(hy_mat_at(out, 32, 0), hy_half_at(a, 32, 0), bt, (hy_shape){32, 64, k});
}

/* C [64,n] += L B for a lower, or an upper, triangle of [64,64]. */
static void hy_tiles_lower_add(hy_mat c, hy_half_mat lower, hy_half_mat b, int64_t n) {
    hy_tiles_add(c, lower, b, (hy_shape){32, n, 32});
    hy_tiles_add(hy_mat_at(c, 32, 0), hy_half_at(lower, 32, 0), b, (hy_shape){32, n, 64});
}

static void hy_tiles_upper_add(hy_mat c, hy_half_mat upper, hy_half_mat b, int64_t n) {
    hy_tiles_add(c, upper, b, (hy_shape){32, n, 64});
    hy_tiles_add(hy_mat_at(c, 32, 0), hy_half_at(upper, 32, 32), hy_half_at(b, 16, 0), (hy_shape){32, n, 32});
}

/* x's rows times factor·f (f NULL = 1). */
HY_INLINE void hy_tiles_scale(hy_mat x, const float *f, float factor, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows; i++) {
        const hy_vec fi = hy_vec_set(f ? factor * f[i] : factor);
        for (int64_t j = 0; j < cols; j += HY_VL) {
            float *at = hy_mat_at(x, i, j).p;
            hy_vec_store(at, hy_vec_load(at) * fi);
        }
    }
}

/* p = P diag(b), b NULL = 1. */
static void hy_tiles_weights_p(hy_tiles_chunk *c, const hy_scan *s, const float *b) {
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++) {
        hy_vec y[HY_TILES_BLOCKS];
        HY_UNROLL
        for (int64_t of = 0; of < HY_TILES_BLOCKS; of++)
            y[of] = hy_tiles_weigh(c, c->qk, i, of, s->scale, 1) * (b ? hy_vec_load(b + of * 16) : hy_vec_set(1));
        hy_half_put_row(hy_half_at(c->p, i, 0).p, y[0], y[1]);
        hy_half_put_row(hy_half_at(c->p, i, 32).p, y[2], y[3]);
    }
}

/* m = −diag(rows) M diag(cols), either NULL = 1: the blocks below the diagonal's. */
static void hy_tiles_weights_m(hy_tiles_chunk *c, const float *rows, const float *cols) {
    for (int64_t i = HY_CHUNK; i < HY_TILES_CHUNK; i++)
        for (int64_t of = 0; of < i / HY_CHUNK; of++)
            hy_vec_store(hy_mat_at(c->m, i, of * 16).p, hy_tiles_weigh(c, c->kk, i, of, rows ? -rows[i] : -1, 0) *
                                                            (cols ? hy_vec_load(cols + of * 16) : hy_vec_set(1)));
}

/* w of the diagonal blocks. */
static void hy_tiles_inverses(hy_tiles_chunk *c) {
    for (int64_t block = 0; block < HY_TILES_BLOCKS; block++) {
        for (int64_t i = 0; i < HY_CHUNK; i++)
            hy_vec_store(c->t + i * 16, hy_tiles_weigh(c, c->kk, block * 16 + i, block, 1, 0));
        hy_small_solve(c->w + block * 256, c->t, c->b + block * 16);
    }
}

/* Rows n·64 .. of pairs, and of turned, from x. */
static void hy_tiles_pair_and_turn(hy_tiles_chunk *c, hy_half_mat x, int64_t n) {
    const hy_half_mat pairs = hy_half_at(c->pairs, n * HY_TILES_CHUNK / 2, 0);
    hy_half_pair(pairs, x, HY_TILES_CHUNK, c->K);
    hy_half_turn(hy_half_at(c->turned, 0, n * HY_TILES_CHUNK), pairs, HY_TILES_CHUNK / 2, c->K);
}

/* The chunk at token `begin`: factors, decays; q·k if with_q, k·k for the delta rule. */
static void hy_tiles_prepare(hy_tiles_chunk *c, const hy_scan *s, int64_t begin, int64_t len, int with_q) {
    const hy_recur_args *a = s->a;
    const float *beta = a->beta;
    const int64_t at = hy_scan_k_at(s, begin), stride = a->H * a->K;
    c->begin = begin;
    c->len = len;
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++)
        c->b[i] = i >= len ? 0 : beta ? beta[(begin + i) * a->HV + s->vhead] : 1;
    hy_tiles_decay(c, s);
    hy_half_read(c->k, (const hy_bf16 *)a->k + at, stride, HY_TILES_CHUNK, c->K, len, a->K);
    hy_tiles_pair_and_turn(c, c->k, 0);
    if (with_q || s->delta)
        hy_half_turn(c->kt, c->k, HY_TILES_CHUNK, c->K / 2);
    if (with_q) {
        hy_half_read(c->q, (const hy_bf16 *)a->q + at, stride, HY_TILES_CHUNK, c->K, len, a->K);
        hy_tiles_gram(c->qk, c->q, c->kt, c->K);
    }
    if (s->delta)
        hy_tiles_gram(c->kk, c->k, c->kt, c->K);
}

#endif
