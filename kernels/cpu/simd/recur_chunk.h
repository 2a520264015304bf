/* Linear recurrences in chunks of at most 16 tokens of one run and one value head. With G_i the decay summed from the
 * chunk's first token to token i, and X the state before the chunk [K,V]:
 *
 *     M_ij = (k_i e^{Gi−Gj})·k_j, j < i      P_ij = scale (q_i e^{Gi−Gj})·k_j, j ≤ i
 *     e = (I + M diag b)^-1 (v − (k e^G) X)  z = b e  (additive rule: e = v)
 *     o = scale (q e^G) X + P z              X' = diag(e^{Gn}) X + (k e^{Gn−G})ᵀ z
 *
 * Exclusive (additive rule): q_i meets the state before its token, so e^{G_{i−1}} stands for its e^{Gi} and P_ii = 0.
 *
 * 16 and not more: the products inside a chunk cost as its length, those with the state do not, and a product of 16
 * rows already runs at full speed. Every tile is padded with zeros to 16 rows and to columns in multiples of 16.
 *
 * Decay that is one number per token goes into row factors and into 16×16 weights, and q, k are used as they are.
 * Vector decay multiplies q and k by e^{±(G−a)}, a halfway between the chunk's first and last G; a chunk ends early
 * where G would fall by more than HY_CHUNK_SPAN, so that no exponent overflows whatever the decay. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_CHUNK_H
#define HY_KERNELS_CPU_SIMD_RECUR_CHUNK_H

#include "kernels/cpu/simd/recur_scan.h"

/* What the equations need of one chunk. Unless decay is a vector, km, l are rows of qk, rq is qk and lt is kt. */
typedef struct hy_chunk {
    int64_t begin, len;
    hy_mat qk;          /* [32,K] q e^{G−a}, then k e^{G−a} */
    hy_mat km;          /* [16,K] k e^{a−G} */
    hy_mat kt;          /* [K,16] its transpose */
    hy_mat rq;          /* [32,K] q e^G, then k e^G: what reads the state */
    hy_mat l;           /* [16,K] k e^{Gn−G}: what writes the state */
    hy_mat lt;          /* [K,16] its transpose, made where asked for */
    hy_mat wp, wm;      /* [16,K] e^{G−a}, e^{a−G}; vector decay only */
    float *d, *ea, *ec; /* [K] e^{Gn}, e^a, e^{Gn−a}; the last two for vector decay only */
    float *er, *ew;     /* [16] factors of rows that read and write the state: e^Gr, e^{Gn−G}; 1 for vector decay */
    float *b;           /* [16] beta, 0 beyond len */
    float *E; /* [16,16] e^{Gri−Gj}, Gr_i = G_i or, exclusive, G_{i−1}; unspecified above the diagonal; 1 for vector
                 decay */
} hy_chunk;

HY_INLINE void hy_chunk_layout(hy_chunk *c, const hy_scan *s, hy_scratch *m, int with_lt) {
    int64_t k = s->Kp;
    c->qk = hy_scratch_mat(m, 32, k);
    c->kt = (hy_mat){hy_scratch_take(m, k * 16), 16};
    c->d = hy_scratch_take(m, k);
    c->er = hy_scratch_take(m, 16);
    c->ew = hy_scratch_take(m, 16);
    c->b = hy_scratch_take(m, 16);
    c->E = hy_scratch_take(m, 256);
    if (!s->vector) {
        c->rq = c->qk;
        c->km = c->l = (hy_mat){m->base ? c->qk.p + 16 * c->qk.ld : NULL, c->qk.ld};
        c->lt = c->kt;
        return;
    }
    c->km = hy_scratch_mat(m, 16, k);
    c->rq = hy_scratch_mat(m, 32, k);
    c->l = hy_scratch_mat(m, 16, k);
    c->wp = hy_scratch_mat(m, 16, k);
    c->wm = hy_scratch_mat(m, 16, k);
    c->lt = (hy_mat){with_lt ? hy_scratch_take(m, k * 16) : NULL, 16};
    c->ea = hy_scratch_take(m, k);
    c->ec = hy_scratch_take(m, k);
}

/* Row factors and weights of a decay that is one number per token (or none). G in double: a token that forgets all, far
 * below −100, must not cost the differences around it their digits. */
static void hy_chunk_decay_scalar(hy_chunk *c, const hy_scan *s, int inside) {
    const float *g = s->a->g;
    double G[HY_CHUNK], read[HY_CHUNK], sum = 0;
    float rest[HY_CHUNK], difference[HY_CHUNK];
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        const double before = sum;
        if (g && i < c->len)
            sum += (double)(s->a->decay == HY_DECAY_HEAD ? g[s->vhead] : g[(c->begin + i) * s->a->HV + s->vhead]);
        G[i] = sum;
        read[i] = s->exclusive ? before : sum;
        difference[i] = (float)read[i];
    }
    for (int64_t j = 0; j < HY_CHUNK; j++)
        rest[j] = (float)(sum - G[j]);
    for (int64_t j = 0; j < HY_CHUNK; j += HY_VL) {
        hy_vec_store(c->er + j, hy_vec_exp(hy_vec_load(difference + j)));
        hy_vec_store(c->ew + j, hy_vec_exp(hy_vec_load(rest + j)));
    }
    for (int64_t i = 0; inside && i < HY_CHUNK; i++) {
        for (int64_t j = 0; j < HY_CHUNK; j++)
            difference[j] = (float)(read[i] - G[j]);
        for (int64_t j = 0; j < HY_CHUNK; j += HY_VL)
            hy_vec_store(c->E + i * 16 + j, g ? hy_vec_exp(hy_vec_load(difference + j)) : hy_vec_set(1));
    }
    const hy_vec d = hy_vec_exp(hy_vec_set((float)sum));
    for (int64_t j = 0; j < s->Kp; j += HY_VL)
        hy_vec_store(c->d + j, d);
}

HY_INLINE hy_vec hy_chunk_fall(const float *g, int64_t stride, int64_t tokens, int64_t n) {
    hy_vec sum = hy_vec_zero();
    for (int64_t i = 1; i < tokens; i++)
        sum += hy_vec_load_tail(g + i * stride, n);
    return sum;
}

/* Tokens from `begin` on, at most `tokens`, over which no channel's G falls by more than the span after the first. */
static int64_t hy_chunk_length_vector(const hy_scan *s, int64_t begin, int64_t tokens) {
    int64_t K = s->a->K, stride = s->a->HV * K, j = 0;
    const float *g = (const float *)s->a->g + (begin * s->a->HV + s->vhead) * K;
    hy_vec fall = hy_vec_zero();
    for (; j + HY_VL <= K; j += HY_VL)
        fall = hy_vec_min(fall, hy_chunk_fall(g + j, stride, tokens, HY_VL));
    if (j < K)
        fall = hy_vec_min(fall, hy_chunk_fall(g + j, stride, tokens, K - j));
    if (tokens > 1 && hy_vec_max_lane(-fall) > HY_CHUNK_SPAN)
        return hy_chunk_length_vector(s, begin, tokens - 1);
    return tokens;
}

/* n channels from j on of a chunk with vector decay: everything but transposes. G here leaves out the first token's
 * decay, which may be any size and concerns the state only; exclusive, the first q does not even meet that. What only
 * the products inside a chunk need is made if there will be any (`inside`), for q if it is given; wp and wm if the
 * chunk has lt, for the backward pass. */
HY_INLINE void hy_chunk_scale_vector(hy_chunk *c, const hy_scan *s, const hy_elem *q, const hy_elem *k, int64_t j,
                                     int64_t n, int inside) {
    int64_t K = s->a->K, stride = s->a->H * K;
    const float *g = (const float *)s->a->g + (c->begin * s->a->HV + s->vhead) * K + j;
    hy_vec G[HY_CHUNK], first = hy_vec_load_tail(g, n), sum = hy_vec_zero();
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        if (i > 0 && i < c->len)
            sum += hy_vec_load_tail(g + i * s->a->HV * K, n);
        G[i] = sum;
    }
    hy_vec anchor = hy_vec_set(0.5f) * sum, ea = hy_vec_exp(first + anchor), ec = hy_vec_exp(sum - anchor);
    hy_vec_store(c->ea + j, ea);
    hy_vec_store(c->ec + j, ec);
    hy_vec_store(c->d + j, hy_vec_exp(first + sum));
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        hy_vec wm = hy_vec_exp(anchor - G[i]), y = i < c->len ? hy_vec_load_tail(k + i * stride + j, n) : hy_vec_zero();
        hy_vec_store(hy_mat_at(c->l, i, j).p, y * wm * ec);
        if (!inside)
            continue;
        const int unmet = s->exclusive && i == 0;
        hy_vec wp = unmet ? hy_vec_set(1) : hy_vec_exp(G[i - s->exclusive] - anchor);
        hy_vec_store(hy_mat_at(c->km, i, j).p, y * wm);
        if (q) {
            hy_vec x = i < c->len ? hy_vec_load_tail(q + i * stride + j, n) * wp : hy_vec_zero();
            hy_vec_store(hy_mat_at(c->qk, i, j).p, x);
            hy_vec_store(hy_mat_at(c->rq, i, j).p, unmet ? x : x * ea);
        }
        if (s->delta) {
            hy_vec_store(hy_mat_at(c->qk, 16 + i, j).p, y * wp);
            hy_vec_store(hy_mat_at(c->rq, 16 + i, j).p, y * wp * ea);
        }
        if (c->lt.p) {
            hy_vec_store(hy_mat_at(c->wp, i, j).p, wp);
            hy_vec_store(hy_mat_at(c->wm, i, j).p, wm);
        }
    }
}

static void hy_chunk_prepare_vector(hy_chunk *c, const hy_scan *s, const hy_elem *q, const hy_elem *k, int inside) {
    int64_t j = 0, K = s->a->K;
    for (; j + HY_VL <= K; j += HY_VL)
        hy_chunk_scale_vector(c, s, q, k, j, HY_VL, inside);
    for (; j < s->Kp; j += HY_VL)
        hy_chunk_scale_vector(c, s, q, k, j, K > j ? K - j : 0, inside);
    for (int64_t i = 0; i < HY_CHUNK; i++)
        c->er[i] = c->ew[i] = 1;
    for (int64_t i = 0; i < 256; i++)
        c->E[i] = 1;
}

/* The chunk that begins at token `begin` and has at most `limit` tokens; q is read if with_q. */
static void hy_chunk_prepare(hy_chunk *c, const hy_scan *s, int64_t begin, int64_t limit, int with_q) {
    const hy_recur_args *a = s->a;
    int64_t n = limit < HY_CHUNK ? limit : HY_CHUNK, stride = a->H * a->K;
    int inside = with_q || s->delta;
    const hy_elem *q = with_q ? (const hy_elem *)a->q + hy_scan_k_at(s, begin) : NULL;
    const hy_elem *k = (const hy_elem *)a->k + hy_scan_k_at(s, begin);
    const float *beta = a->beta;
    c->begin = begin;
    c->len = s->vector ? hy_chunk_length_vector(s, begin, n) : n;
    for (int64_t i = 0; i < HY_CHUNK; i++)
        c->b[i] = i >= c->len ? 0 : beta ? beta[(begin + i) * a->HV + s->vhead] : 1;
    if (s->vector) {
        hy_chunk_prepare_vector(c, s, q, k, inside);
    } else {
        hy_shape shape = {HY_CHUNK, s->Kp, 0};
        if (q)
            hy_mat_read(c->qk, q, stride, shape, c->len, a->K);
        hy_mat_read(c->km, k, stride, shape, c->len, a->K);
        hy_chunk_decay_scalar(c, s, inside);
    }
    if (inside)
        hy_mat_transpose(c->kt, c->km, HY_CHUNK, s->Kp);
    if (s->vector && c->lt.p)
        hy_mat_transpose(c->lt, c->l, HY_CHUNK, s->Kp);
}

#endif
