/* Log-linear recurrences in chunks that are aligned blocks of the document: a power of two of tokens, at most 16, from
 * a multiple of that on. So every state entering a chunk stays at its level throughout, the pairs inside have levels
 * 0..4, and what the chunk leaves goes into one bit. With M, P as in recur_chunk.h and one value head:
 *
 *     B = diag(b) (I + M diag b)^-1  (additive rule: diag b)      N = P B
 *     Q = scale (q e^G) − N (k e^G)     R = B (k e^G)             (additive rule: Q = scale q e^G, R = 0)
 *     o = (N ⊙ Λ) v + Σ_bits l_{bit+1} Q X_bit                    Λ_ij = l_i at the level of the pair
 *     X_bit' = e^{Gn} X_bit − (k e^{Gn−G})ᵀ R X_bit               own = (k e^{Gn−G})ᵀ B v
 *
 * States are held transposed, [V,K], so that every product reads rows. Decay is one number per token. */
#ifndef HY_KERNELS_CPU_SIMD_LEVEL_CHUNK_H
#define HY_KERNELS_CPU_SIMD_LEVEL_CHUNK_H

#include "kernels/cpu/simd/recur_weights.h"

typedef struct hy_level_scan {
    const hy_level_recur_args *levels;
    hy_scan scan;
    int64_t N, size; /* states of a position; floats of one */
} hy_level_scan;

HY_INLINE hy_level_scan hy_level_scan_make(const hy_level_recur_args *a, const hy_run *run, int64_t vhead) {
    hy_level_scan s = {.levels = a, .scan = hy_scan_make(&a->base, run, vhead), .N = a->N};
    s.size = s.scan.Vp * hy_mat_ld(s.scan.Kp);
    return s;
}

HY_INLINE hy_mat hy_level_state(const hy_level_scan *s, float *states, int64_t bit) {
    return (hy_mat){states + bit * s->size, hy_mat_ld(s->scan.Kp)};
}

/* Tokens of the chunk at token t. */
HY_INLINE int64_t hy_level_chunk_length(const hy_level_scan *s, int64_t t) {
    int64_t n = HY_CHUNK, pos = s->levels->pos[t], rest = s->scan.run.begin + s->scan.run.len - t;
    while (n > rest || (pos & (n - 1)))
        n /= 2;
    return n;
}

/* At most so many chunks in a run: up to four short ones at either end. */
HY_INLINE int64_t hy_level_chunks_max(int64_t T) {
    return T / HY_CHUNK + 8;
}

typedef struct hy_level_chunk {
    hy_chunk chunk;
    hy_small small;
    int64_t pos, carry; /* of its first token; bit that its own tokens go to, N or more if nobody reads it */
    float *l;           /* [N+1,16] scales by level; 0 beyond the chunk and the levels */
    float *b;           /* [16,16] B */
    float *n;           /* [32,16] −N, then B */
    float *weights;     /* [16,16] N ⊙ Λ */
    hy_mat kr;          /* [16,K] k e^G */
    hy_mat rows;        /* [32,K] Q, then R */
    hy_mat cols;        /* [K,32] their transposes */
    hy_mat v;           /* [16,V] */
} hy_level_chunk;

HY_INLINE void hy_level_chunk_layout(hy_level_chunk *c, const hy_level_scan *s, hy_scratch *m) {
    hy_chunk_layout(&c->chunk, &s->scan, m, 0);
    hy_small_layout(&c->small, m);
    c->l = hy_scratch_take(m, (s->N + 1) * 16);
    c->b = hy_scratch_take(m, 256);
    c->n = hy_scratch_take(m, 512);
    c->weights = hy_scratch_take(m, 256);
    c->kr = hy_scratch_mat(m, 16, s->scan.Kp);
    c->rows = hy_scratch_mat(m, 32, s->scan.Kp);
    c->cols = hy_scratch_mat(m, s->scan.Kp, 32);
    c->v = hy_scratch_mat(m, 16, s->scan.Vp);
}

/* dst = src with row i times f[i] */
HY_INLINE void hy_level_scale_rows(hy_mat dst, hy_mat src, const float *f, float factor, int64_t cols) {
    for (int64_t i = 0; i < HY_CHUNK; i++)
        for (int64_t j = 0; j < cols; j += HY_VL)
            hy_vec_store(hy_mat_at(dst, i, j).p, hy_vec_load(hy_mat_at(src, i, j).p) * hy_vec_set(factor * f[i]));
}

HY_INLINE int64_t hy_level_of_pair(int64_t i, int64_t j) {
    int64_t n = 0;
    for (int64_t x = i ^ j; x > 0; x >>= 1)
        n++;
    return n;
}

static void hy_level_read_scales(hy_level_chunk *c, const hy_level_scan *s) {
    const hy_level_recur_args *a = s->levels;
    const int64_t used = a->N + 1 < a->L ? a->N + 1 : a->L;
    memset(c->l, 0, (size_t)((s->N + 1) * 16) * sizeof *c->l);
    for (int64_t i = 0; i < c->chunk.len; i++) {
        const float *l = (const float *)a->l + ((c->chunk.begin + i) * a->base.HV + s->scan.vhead) * a->L;
        for (int64_t n = 0; n < used; n++)
            c->l[n * 16 + i] = l[n];
    }
}

/* B, N and N ⊙ Λ. */
static void hy_level_weights(hy_level_chunk *c, const hy_level_scan *s) {
    const float *beta = c->chunk.b;
    hy_chunk_weights(&c->chunk, &s->scan, &c->small, 1, s->scan.delta);
    if (s->scan.delta)
        hy_small_inverse(c->small.t, c->small.w, NULL, beta);
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < HY_CHUNK; j++)
            c->b[i * 16 + j] = c->n[256 + i * 16 + j] = beta[i] * (s->scan.delta ? c->small.t[i * 16 + j]
                                                                   : i == j      ? 1.0f
                                                                                 : 0.0f);
    hy_mul_ab(hy_small_mat(c->weights), hy_small_mat(c->small.p), hy_small_mat(c->b), (hy_shape){16, 16, 16}, NULL);
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < HY_CHUNK; j++) {
            const int64_t level = hy_level_of_pair(i, j);
            c->n[i * 16 + j] = -c->weights[i * 16 + j];
            c->weights[i * 16 + j] *= level <= s->N && j <= i ? c->l[level * 16 + i] : 0.0f;
        }
}

/* Everything of the chunk at token t that no state is needed for. v is read if it is there. */
static void hy_level_chunk_prepare(hy_level_chunk *c, const hy_level_scan *s, int64_t t) {
    const hy_recur_args *a = s->scan.a;
    const int64_t Kp = s->scan.Kp;
    hy_ahead_reset();
    hy_chunk_prepare(&c->chunk, &s->scan, t, hy_level_chunk_length(s, t), 1);
    c->pos = s->levels->pos[t];
    for (c->carry = 0; (c->pos + c->chunk.len - 1) >> c->carry & 1;)
        c->carry++;
    hy_level_read_scales(c, s);
    hy_level_weights(c, s);
    hy_level_scale_rows(c->rows, c->chunk.qk, c->chunk.er, s->scan.scale, Kp);
    if (s->scan.delta) {
        hy_level_scale_rows(c->kr, c->chunk.km, c->chunk.er, 1, Kp);
        static const float ones[HY_CHUNK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        hy_mul_ab_rows(c->rows, (hy_mat){c->n, 16}, c->kr, (hy_shape){16, Kp, 16}, ones);
        hy_mul_ab(hy_mat_at(c->rows, 16, 0), (hy_mat){c->n + 256, 16}, c->kr, (hy_shape){16, Kp, 16}, NULL);
    }
    hy_mat_transpose(c->cols, c->rows, s->scan.delta ? 32 : 16, Kp);
    if (a->v)
        hy_mat_read(c->v, (const hy_elem *)a->v + hy_scan_v_at(&s->scan, t), a->HV * a->V,
                    (hy_shape){16, s->scan.Vp, 0}, c->chunk.len, a->V);
}

HY_INLINE int hy_level_enters(const hy_level_chunk *c, int64_t bit) {
    return (int)(c->pos >> bit & 1);
}

/* What moving states takes beside them. */
typedef struct hy_level_move {
    hy_mat t; /* [V,16] */
    hy_mat x; /* [16,V] */
} hy_level_move;

HY_INLINE void hy_level_move_layout(hy_level_move *f, const hy_level_scan *s, hy_scratch *m) {
    f->t = (hy_mat){hy_scratch_take(m, s->scan.Vp * 16), 16};
    f->x = hy_scratch_mat(m, 16, s->scan.Vp);
}

/* x = R X, [16,V]. */
static void hy_level_correction(hy_level_move *f, const hy_level_scan *s, const hy_level_chunk *c, hy_mat X) {
    hy_mul_ab(f->t, X, hy_mat_at(c->cols, 0, 16), (hy_shape){s->scan.Vp, 16, s->scan.Kp}, NULL);
    hy_mat_transpose(f->x, f->t, s->scan.Vp, 16);
}

/* States before the chunk to states after it: transition, then carry. */
static void hy_level_advance(hy_level_move *f, const hy_level_scan *s, const hy_level_chunk *c, float *states) {
    const int64_t Kp = s->scan.Kp, Vp = s->scan.Vp;
    const hy_shape shape = {Vp, Kp, s->scan.delta ? 16 : 0};
    for (int64_t bit = 0; bit < s->N; bit++) {
        if (!hy_level_enters(c, bit))
            continue;
        hy_mat X = hy_level_state(s, states, bit);
        if (s->scan.delta) {
            hy_level_correction(f, s, c, X);
            hy_level_scale_rows(f->x, f->x, c->chunk.ew, -1, Vp);
        }
        hy_mul_atb_cols(X, f->x, c->chunk.km, shape, c->chunk.d);
    }
    if (c->carry >= s->N)
        return;
    hy_mat own = hy_level_state(s, states, c->carry);
    hy_mul_ab(f->x, hy_small_mat(c->n + 256), c->v, (hy_shape){16, Vp, 16}, NULL);
    hy_level_scale_rows(f->x, f->x, c->chunk.ew, 1, Vp);
    hy_mul_atb(own, f->x, c->chunk.km, (hy_shape){Vp, Kp, 16}, NULL);
    for (int64_t bit = 0; bit < c->carry; bit++)
        for (int64_t i = 0; hy_level_enters(c, bit) && i < s->size; i += HY_VL)
            hy_vec_store(own.p + i, hy_vec_load(own.p + i) + hy_vec_load(hy_level_state(s, states, bit).p + i));
}

/* Where the state of a bit lies in an array [slots,N,HV,K,V]. */
HY_INLINE int64_t hy_level_state_at(const hy_level_scan *s, int64_t slot, int64_t bit) {
    const hy_recur_args *a = s->scan.a;
    return ((slot * s->N + bit) * a->HV + s->scan.vhead) * a->K * a->V;
}

/* The states of a slot, those of the bits of pos; zeros if there is none. `turn` is a [K,V] matrix to turn states in.
 */
static void hy_level_load(const hy_level_scan *s, hy_mat turn, const float *array, int64_t slot, int64_t pos,
                          float *states) {
    const hy_recur_args *a = s->scan.a;
    for (int64_t bit = 0; bit < s->N; bit++) {
        hy_mat X = hy_level_state(s, states, bit);
        if (!array || slot < 0 || !(pos >> bit & 1)) {
            memset(X.p, 0, (size_t)s->size * sizeof *X.p);
            continue;
        }
        hy_mat_read(turn, array + hy_level_state_at(s, slot, bit), a->V, (hy_shape){s->scan.Kp, s->scan.Vp, 0}, a->K,
                    a->V);
        hy_mat_transpose(X, turn, s->scan.Kp, s->scan.Vp);
    }
}

#endif
