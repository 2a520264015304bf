/* The diagonal-plus-low-rank rule in chunks of at most 16 tokens of one run and one value head; notation, padding and
 * span of exponents as in recur_chunk.h. q meets the state after its token, a the state before it (G⁻_i = G_{i−1}):
 *
 *     P_ij = scale (q_i e^{Gi−Gj})·k_j,   Q_ij = scale (q_i e^{Gi−Gj})·b_j,   j ≤ i
 *     N_ij = (a_i e^{G⁻i−Gj})·k_j,        M_ij = (a_i e^{G⁻i−Gj})·b_j,        j < i
 *     z = β v            u = (I − M)^-1 ((a e^{G⁻}) X + N z)
 *     o = scale (q e^G) X + P z + Q u     X' = diag(e^{Gn}) X + (k e^{Gn−G})ᵀ z + (b e^{Gn−G})ᵀ u
 *
 * So 32 rows read, q then a, and 32 rows write, k then b, with values z then u; P, Q, N, M are quarters of one matrix.
 * Decay of any kind is taken as a vector's. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_DPLR_CHUNK_H
#define HY_KERNELS_CPU_SIMD_RECUR_DPLR_CHUNK_H

#include "kernels/cpu/simd/recur_small.h"

#define HY_ROWS 32 /* of readers, of writers */

typedef struct hy_dplr_chunk {
    int64_t begin, len;
    hy_mat r;           /* [32,K] q e^{G−c}, a e^{G⁻−c}, c halfway between the first and the last G */
    hy_mat w;           /* [32,K] k e^{c−G}, b e^{c−G} */
    hy_mat wt;          /* [K,32] its transpose */
    hy_mat rx;          /* [32,K] q e^G, a e^{G⁻}: what reads the state */
    hy_mat l;           /* [32,K] k e^{Gn−G}, b e^{Gn−G}: what writes it */
    hy_mat lt;          /* [K,32] its transpose; like the factors, for the backward pass only */
    hy_mat fr, fw;      /* [16,K] e^{G−c}, e^{c−G} */
    float *d, *ea, *ec; /* [K] e^{Gn}, e^c, e^{Gn−c} */
    float *b;           /* [16] beta, 0 beyond len */
} hy_dplr_chunk;

HY_INLINE void hy_dplr_chunk_layout(hy_dplr_chunk *c, const hy_scan *s, hy_scratch *m, int backward) {
    const int64_t K = s->Kp;
    hy_mat *const rows[] = {&c->r, &c->w, &c->rx, &c->l};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        *rows[i] = hy_scratch_mat(m, HY_ROWS, K);
    c->wt = hy_scratch_mat(m, K, HY_ROWS);
    c->d = hy_scratch_take(m, K);
    c->ea = hy_scratch_take(m, K);
    c->ec = hy_scratch_take(m, K);
    c->b = hy_scratch_take(m, HY_CHUNK);
    c->lt = c->fr = c->fw = (hy_mat){0};
    if (!backward)
        return;
    c->lt = hy_scratch_mat(m, K, HY_ROWS);
    c->fr = hy_scratch_mat(m, HY_CHUNK, K);
    c->fw = hy_scratch_mat(m, HY_CHUNK, K);
}

/* Log decays of n channels from j on at token t. */
HY_INLINE hy_vec hy_dplr_gate(const hy_scan *s, int64_t t, int64_t j, int64_t n) {
    const float *g = s->a->g;
    const int64_t at = t * s->a->HV + s->vhead;
    switch (s->a->decay) {
    case HY_DECAY_HEAD:
        return hy_vec_set(g[s->vhead]);
    case HY_DECAY_SCALAR:
        return hy_vec_set(g[at]);
    case HY_DECAY_VECTOR:
        return hy_vec_load_tail(g + at * s->a->K + j, n);
    default:
        return hy_vec_zero();
    }
}

/* Tokens from `begin` on, at most `tokens`, over which no channel's G falls by more than the span after the first. */
static int64_t hy_dplr_length(const hy_scan *s, int64_t begin, int64_t tokens) {
    hy_vec fall[HY_CHUNK];
    for (int64_t i = 0; i < tokens; i++)
        fall[i] = hy_vec_zero();
    for (int64_t j = 0; j < s->a->K; j += HY_VL) {
        hy_vec sum = hy_vec_zero();
        for (int64_t i = 1; i < tokens; i++) {
            sum += hy_dplr_gate(s, begin + i, j, s->a->K - j);
            fall[i] = hy_vec_min(fall[i], sum);
        }
    }
    int64_t n = 1;
    while (n < tokens && hy_vec_max_lane(-fall[n]) <= HY_CHUNK_SPAN)
        n++;
    return tokens < 1 ? tokens : n;
}

/* Row i of an array [T,H,K] from the chunk's first token on, scaled into a tile. */
HY_INLINE hy_vec hy_dplr_row(const hy_dplr_chunk *c, const hy_scan *s, const void *keys, int64_t i, int64_t j) {
    if (i >= c->len || j >= s->a->K)
        return hy_vec_zero();
    return hy_vec_load_tail((const hy_elem *)keys + hy_scan_k_at(s, c->begin + i) + j, s->a->K - j);
}

/* Channels from j on. G leaves out the first token's decay, which may be any size and concerns the state only; the
 * first a does not meet even that. */
static void hy_dplr_scale(hy_dplr_chunk *c, const hy_scan *s, int64_t j, int with_q) {
    const hy_recur_args *a = s->a;
    hy_vec G[HY_CHUNK], first = j < a->K ? hy_dplr_gate(s, c->begin, j, a->K - j) : hy_vec_zero(), sum = hy_vec_zero();
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        if (i > 0 && i < c->len && j < a->K)
            sum += hy_dplr_gate(s, c->begin + i, j, a->K - j);
        G[i] = sum;
    }
    const hy_vec middle = hy_vec_set(0.5f) * sum, ea = hy_vec_exp(first + middle), ec = hy_vec_exp(sum - middle);
    hy_vec_store(c->d + j, hy_vec_exp(first + sum));
    hy_vec_store(c->ea + j, ea);
    hy_vec_store(c->ec + j, ec);
    hy_vec before = hy_vec_set(1);
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        const hy_vec fr = hy_vec_exp(G[i] - middle), fw = hy_vec_exp(middle - G[i]);
        const hy_vec k = hy_dplr_row(c, s, a->k, i, j) * fw, b = hy_dplr_row(c, s, a->b, i, j) * fw;
        const hy_vec read = hy_dplr_row(c, s, a->a, i, j) * before;
        hy_vec_store(hy_mat_at(c->w, i, j).p, k);
        hy_vec_store(hy_mat_at(c->w, 16 + i, j).p, b);
        hy_vec_store(hy_mat_at(c->l, i, j).p, k * ec);
        hy_vec_store(hy_mat_at(c->l, 16 + i, j).p, b * ec);
        hy_vec_store(hy_mat_at(c->r, 16 + i, j).p, read);
        hy_vec_store(hy_mat_at(c->rx, 16 + i, j).p, i > 0 ? read * ea : read);
        if (with_q) {
            const hy_vec q = hy_dplr_row(c, s, a->q, i, j) * fr;
            hy_vec_store(hy_mat_at(c->r, i, j).p, q);
            hy_vec_store(hy_mat_at(c->rx, i, j).p, q * ea);
        }
        if (c->fr.p) {
            hy_vec_store(hy_mat_at(c->fr, i, j).p, fr);
            hy_vec_store(hy_mat_at(c->fw, i, j).p, fw);
        }
        before = fr;
    }
}

/* The chunk that begins at token `begin` and has at most `limit` tokens. */
static void hy_dplr_prepare(hy_dplr_chunk *c, const hy_scan *s, int64_t begin, int64_t limit, int with_q) {
    const hy_recur_args *a = s->a;
    const float *beta = a->beta;
    c->begin = begin;
    c->len = hy_dplr_length(s, begin, limit < HY_CHUNK ? limit : HY_CHUNK);
    for (int64_t i = 0; i < HY_CHUNK; i++)
        c->b[i] = i >= c->len ? 0 : beta ? beta[(begin + i) * a->HV + s->vhead] : 1;
    for (int64_t j = 0; j < s->Kp; j += HY_VL)
        hy_dplr_scale(c, s, j, with_q);
    hy_mat_transpose(c->wt, c->w, HY_ROWS, s->Kp);
    if (c->lt.p)
        hy_mat_transpose(c->lt, c->l, HY_ROWS, s->Kp);
}

/* z of the chunk, zero beyond V; v NULL = 0. */
static void hy_dplr_values(hy_mat z, const hy_dplr_chunk *c, const hy_scan *s, const hy_elem *v, int64_t width) {
    const int64_t V = s->a->V;
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        const hy_elem *row = v && i < c->len ? v + hy_scan_v_at(s, c->begin + i) : NULL;
        for (int64_t j = 0; j < width; j += HY_VL)
            hy_vec_store(hy_mat_at(z, i, j).p,
                         row && j < V ? hy_vec_load_tail(row + j, V - j) * hy_vec_set(c->b[i]) : hy_vec_zero());
    }
}

/* The matrices of a chunk. */
typedef struct hy_dplr_small {
    hy_mat gram;  /* [32,32] P Q above N M, masked */
    float *m;     /* [16,16] M */
    float *t;     /* [16,16] (I − M)^-1 */
    float *minus; /* [16] −1 */
} hy_dplr_small;

HY_INLINE void hy_dplr_small_layout(hy_dplr_small *x, hy_scratch *m) {
    x->gram = hy_scratch_mat(m, HY_ROWS, HY_ROWS);
    x->m = hy_scratch_take(m, 256);
    x->t = hy_scratch_take(m, 256);
    x->minus = hy_scratch_take(m, HY_CHUNK);
}

/* Rows of gram from `first` on: f·gram where column mod 16 < row + keep, else 0; selected, since what is dropped may
 * have overflowed. */
static void hy_dplr_mask(hy_mat gram, int64_t first, float f, int32_t keep) {
    for (int32_t i = 0; i < HY_CHUNK; i++)
        for (int32_t j = 0; j < HY_ROWS; j += HY_VL) {
            float *at = hy_mat_at(gram, first + i, j).p;
            const hy_ivec below = hy_ivec_iota() + hy_ivec_set(j % 16) < hy_ivec_set(i + keep);
            hy_vec_store(at, hy_vec_select(below, hy_vec_set(f) * hy_vec_load(at), hy_vec_zero()));
        }
}

/* N, M, the inverse and, if with_q, P and Q. (I − M)^-1 = I + M (I − M)^-1. */
static void hy_dplr_weights(const hy_dplr_chunk *c, const hy_scan *s, hy_dplr_small *x, int with_q) {
    const int64_t first = with_q ? 0 : 16;
    hy_mul_ab(hy_mat_at(x->gram, first, 0), hy_mat_at(c->r, first, 0), c->wt,
              (hy_shape){HY_ROWS - first, HY_ROWS, s->Kp}, NULL);
    if (with_q)
        hy_dplr_mask(x->gram, 0, s->scale, 1);
    hy_dplr_mask(x->gram, 16, 1, 0);
    hy_mat_read(hy_small_mat(x->m), hy_mat_at(x->gram, 16, 16).p, x->gram.ld, (hy_shape){16, 16, 0}, 16, 16);
    for (int i = 0; i < HY_CHUNK; i++)
        x->minus[i] = -1;
    hy_small_solve(x->t, x->m, x->minus);
    for (int i = 0; i < HY_CHUNK; i++)
        x->t[i * 17] += 1;
}

#endif
