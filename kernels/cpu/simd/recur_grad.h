/* The backward step over one chunk. dX is the gradient of the state after the chunk, X the state before it; both are
 * held transposed, [V,K], so that every product reads rows. From recur_chunk.h's equations, with E the weights
 * e^{Gi−Gj}:
 *
 *     dz = Pᵀ do + (k e^{Gn−G}) dX      du = (I + diag(b) M)^-T dz    dv = b du    db = Σ_V du ⊙ e
 *     dP = scale tril(do zᵀ) E          dM = −b tril(du zᵀ, −1) E
 *     dq = scale e^G (do Xᵀ) + dP k     k⁺ = −e^G (dv Xᵀ) + dM k
 *     k⁻ = e^{Gn−G} (z dXᵀ) + dPᵀ q + dMᵀ k                           dk = k⁺ + k⁻
 *     dG = q dq + k (k⁺ − k⁻), dG_n += e^{Gn} Σ_V X ⊙ dX + Σ_i k e^{Gn−G} (z dXᵀ);   dg_t = Σ_{i≥t} dG_i
 *     dX' = diag(e^{Gn}) dX + (scale q e^G)ᵀ do − (k e^G)ᵀ dv
 *
 * The additive rule has du = dz and no M. Exclusive: where q is concerned G is that of the token before. What a q meets
 * undecayed, its own token or, exclusive, the one before, is left out of dG, which would only cancel it, and Σ_{i≥t} of
 * the terms at the chunk's end is formed as the sum over i < t it equals.
 */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_GRAD_H
#define HY_KERNELS_CPU_SIMD_RECUR_GRAD_H

#include "kernels/cpu/simd/recur_sums.h"
#include "kernels/cpu/simd/recur_weights.h"

/* Where the gradients of one value head go. */
typedef struct hy_grad_out {
    hy_key_rows dq, dk;
    int acc; /* a head before this one of the same part has written dq, dk */
    hy_elem *dv;
    float *dg, *dbeta;
} hy_grad_out;

typedef struct hy_grad {
    hy_small small;
    hy_mat dx;        /* [V,K] */
    hy_mat dzt;       /* [V,16] */
    hy_mat dz;        /* [16,V] */
    hy_mat both;      /* [32,V] do, then du */
    hy_mat write;     /* [32,V] the same, scaled to what the state's gradient receives */
    hy_mat e;         /* [16,V] */
    hy_mat et;        /* [V,16] */
    hy_mat dpm;       /* [32,16] dP without what does not decay, then dM */
    hy_mat from_x;    /* [32,K] do Xᵀ, du Xᵀ */
    hy_mat from_dx;   /* [16,K] e dXᵀ */
    hy_mat upper;     /* [32,K] dP k, dM k */
    hy_mat lower;     /* [16,K] dPᵀ q + dMᵀ k */
    float *xdx;       /* [K] Σ_V X ⊙ dX */
    float *undecayed; /* [16] diagonal of dP; exclusive: what lies below it */
    float *sums;      /* [16,HY_VL] of dg, scalar decay: lanes still apart */
} hy_grad;

HY_INLINE void hy_grad_layout(hy_grad *f, const hy_scan *s, hy_scratch *m) {
    hy_small_layout(&f->small, m);
    f->dx = hy_scratch_mat(m, s->Vp, s->Kp);
    f->dzt = (hy_mat){hy_scratch_take(m, s->Vp * 16), 16};
    f->dz = hy_scratch_mat(m, 16, s->Vp);
    f->both = hy_scratch_mat(m, 32, s->Vp);
    f->write = hy_scratch_mat(m, 32, s->Vp);
    f->e = hy_scratch_mat(m, 16, s->Vp);
    f->et = (hy_mat){hy_scratch_take(m, s->Vp * 16), 16};
    f->dpm = (hy_mat){hy_scratch_take(m, 32 * 16), 16};
    f->from_x = hy_scratch_mat(m, 32, s->Kp);
    f->from_dx = hy_scratch_mat(m, 16, s->Kp);
    f->upper = hy_scratch_mat(m, 32, s->Kp);
    f->lower = hy_scratch_mat(m, 16, s->Kp);
    f->xdx = hy_scratch_take(m, s->Kp);
    f->undecayed = hy_scratch_take(m, 16);
    f->sums = hy_scratch_take(m, HY_CHUNK * HY_VL);
}

/* do and du. For the delta rule small.w holds w of the chunk, or it is made here. */
static void hy_grad_outputs(hy_grad *f, const hy_scan *s, const hy_chunk *c, int make_w) {
    const hy_recur_args *a = s->a;
    hy_mat du = hy_mat_at(f->both, 16, 0), dz = s->delta ? f->dz : du;
    hy_shape inner = {16, s->Vp, 16};
    hy_mat_read(f->both, (const hy_elem *)a->d_o + hy_scan_v_at(s, c->begin), a->HV * a->V, inner, c->len, a->V);
    hy_chunk_weights(c, s, &f->small, 1, make_w);
    hy_mul_ab(f->dzt, f->dx, c->lt, (hy_shape){s->Vp, 16, s->Kp}, NULL);
    hy_mat_transpose(dz, f->dzt, s->Vp, 16);
    hy_mul_atb_rows(dz, hy_small_mat(f->small.p), f->both, inner, c->ew);
    if (s->delta) {
        hy_small_inverse(f->small.t, f->small.w, c->b, NULL);
        hy_mul_atb(du, hy_small_mat(f->small.t), dz, inner, NULL);
    }
}

/* dX, and dv if wanted. */
static void hy_grad_state(hy_grad *f, const hy_scan *s, const hy_chunk *c, hy_elem *dv) {
    const hy_recur_args *a = s->a;
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        hy_vec read = hy_vec_set(s->scale * c->er[i]), b = hy_vec_set(c->b[i]), er = hy_vec_set(-c->er[i]);
        hy_elem *out = dv && i < c->len ? dv + hy_scan_v_at(s, c->begin + i) : NULL;
        for (int64_t j = 0; j < s->Vp; j += HY_VL) {
            hy_vec x = hy_vec_load(hy_mat_at(f->both, 16 + i, j).p) * b;
            hy_vec_store(hy_mat_at(f->write, i, j).p, hy_vec_load(hy_mat_at(f->both, i, j).p) * read);
            hy_vec_store(hy_mat_at(f->write, 16 + i, j).p, x * er);
            if (out && j < a->V)
                hy_vec_store_tail(out + j, x, a->V - j);
        }
    }
    hy_mul_atb_cols(f->dx, f->write, c->rq, (hy_shape){s->Vp, s->Kp, s->delta ? 32 : 16}, c->d);
}

/* dP, dM, and dbeta from the diagonal of du eᵀ. */
static void hy_grad_weights(hy_grad *f, const hy_scan *s, const hy_chunk *c, float *dbeta) {
    hy_mat_transpose(f->et, f->e, 16, s->Vp);
    float *gram = f->small.gram, *dp = f->dpm.p;
    hy_mul_ab(hy_small_mat(gram), f->both, f->et, (hy_shape){s->delta || dbeta ? 32 : 16, 16, s->Vp}, NULL);
    const int lag = s->exclusive;
    for (int i = 0; i < HY_CHUNK; i++)
        f->undecayed[i] = i < lag ? 0 : s->scale * c->b[i - lag] * gram[i * 17 - lag];
    if (dbeta)
        for (int64_t i = 0; i < c->len; i++)
            dbeta[(c->begin + i) * s->a->HV + s->vhead] = gram[256 + i * 17];
    hy_small_mask(dp, gram, c->E, s->scale, -lag);
    if (s->delta)
        hy_small_mask(dp + 256, gram + 256, c->E, -1, 0);
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < HY_CHUNK; j++) {
            dp[i * 16 + j] *= c->b[j];
            if (s->delta)
                dp[256 + i * 16 + j] *= c->b[i] * c->b[j];
        }
}

/* Σ_V X ⊙ dX per channel. */
static void hy_grad_state_dot(hy_grad *f, const hy_scan *s, hy_mat x) {
    for (int64_t j = 0; j < s->Kp; j += HY_VL) {
        hy_vec sum[4] = {hy_vec_zero(), hy_vec_zero(), hy_vec_zero(), hy_vec_zero()};
        for (int64_t i = 0; i < s->Vp; i += 4)
            for (int l = 0; l < 4; l++)
                sum[l] += hy_vec_load(hy_mat_at(x, i + l, j).p) * hy_vec_load(hy_mat_at(f->dx, i + l, j).p);
        hy_vec_store(f->xdx + j, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

/* All products of the gradients of q and k. */
static void hy_grad_products(hy_grad *f, const hy_scan *s, const hy_chunk *c, hy_mat x) {
    int64_t rows = s->delta ? 32 : 16;
    hy_mul_ab(f->from_x, f->both, x, (hy_shape){rows, s->Kp, s->Vp}, NULL);
    hy_mul_ab(f->from_dx, f->e, f->dx, (hy_shape){16, s->Kp, s->Vp}, NULL);
    hy_mul_ab(f->upper, f->dpm, c->km, (hy_shape){rows, s->Kp, 16}, NULL);
    hy_mul_atb(f->lower, f->dpm, c->qk, (hy_shape){16, s->Kp, rows}, NULL);
}

/* n channels from j on of dq, dk and dg; `vector` is a constant at every call. */
HY_INLINE void hy_grad_channels(hy_grad *f, const hy_scan *s, const hy_chunk *c, const hy_grad_out *out, int64_t j,
                                int64_t n, int vector) {
    const hy_recur_args *a = s->a;
    int delta = s->delta, with_dg = out->dg != NULL;
    int64_t stride = a->H * a->K, at = hy_scan_k_at(s, c->begin) + j;
    const hy_elem *q = (const hy_elem *)a->q + at, *k = (const hy_elem *)a->k + at;
    hy_vec ea = vector ? hy_vec_load(c->ea + j) : hy_vec_set(1), ec = vector ? hy_vec_load(c->ec + j) : ea;
    hy_vec written[HY_CHUNK], before[HY_CHUNK], sum = hy_vec_load(c->d + j) * hy_vec_load(f->xdx + j);
    hy_vec ended = hy_vec_zero();
    for (int64_t i = 0; i < c->len; i++) {
        written[i] = hy_vec_load(hy_mat_at(f->from_dx, i, j).p) * ec * hy_vec_set(c->b[i] * c->ew[i]);
        if (vector)
            written[i] *= hy_vec_load(hy_mat_at(c->wm, i, j).p);
        before[i] = ended;
        if (with_dg)
            ended += written[i] * hy_vec_load_tail(k + i * stride, n);
    }
    for (int64_t i = c->len - 1; i >= 0; i--) {
        hy_vec qi = hy_vec_load_tail(q + i * stride, n), ki = hy_vec_load_tail(k + i * stride, n);
        const hy_vec read = s->exclusive && i == 0 ? hy_vec_set(1) : ea;
        hy_vec dq = hy_vec_load(hy_mat_at(f->from_x, i, j).p) * read * hy_vec_set(s->scale * c->er[i]);
        hy_vec lower = hy_vec_load(hy_mat_at(f->lower, i, j).p), upper = hy_vec_zero();
        dq += hy_vec_load(hy_mat_at(f->upper, i, j).p);
        if (delta)
            upper = hy_vec_load(hy_mat_at(f->upper, 16 + i, j).p) -
                    hy_vec_load(hy_mat_at(f->from_x, 16 + i, j).p) * ea * hy_vec_set(c->b[i] * c->er[i]);
        if (vector) {
            hy_vec wp = hy_vec_load(hy_mat_at(c->wp, i, j).p);
            dq *= wp;
            upper *= wp;
            lower *= hy_vec_load(hy_mat_at(c->wm, i, j).p);
        }
        if (with_dg) {
            const hy_vec read_here = qi * dq;
            sum += s->exclusive ? ki * (upper - lower) : read_here + ki * (upper - lower);
            if (vector)
                hy_vec_store_tail(out->dg + ((c->begin + i) * a->HV + s->vhead) * a->K + j, sum + before[i], n);
            else
                hy_vec_store(f->sums + i * HY_VL, hy_vec_load(f->sums + i * HY_VL) + sum + before[i]);
            if (s->exclusive)
                sum += read_here;
        }
        hy_vec dk = upper + lower + written[i];
        if (!s->exclusive) {
            dq += hy_vec_set(f->undecayed[i]) * ki;
            dk += hy_vec_set(f->undecayed[i]) * qi;
        } else {
            if (i > 0)
                dq += hy_vec_set(f->undecayed[i]) * hy_vec_load_tail(k + (i - 1) * stride, n);
            if (i + 1 < c->len)
                dk += hy_vec_set(f->undecayed[i + 1]) * hy_vec_load_tail(q + (i + 1) * stride, n);
        }
        hy_key_rows_put(out->dq, at + i * stride, dq, n, out->acc);
        hy_key_rows_put(out->dk, at + i * stride, dk, n, out->acc);
    }
}

/* dq, dk, dg of the chunk. */
static void hy_grad_combine(hy_grad *f, const hy_scan *s, const hy_chunk *c, const hy_grad_out *out) {
    int64_t j = 0, K = s->a->K;
    memset(f->sums, 0, HY_CHUNK * sizeof(hy_vec));
    if (s->vector) {
        for (; j + HY_VL <= K; j += HY_VL)
            hy_grad_channels(f, s, c, out, j, HY_VL, 1);
        if (j < K)
            hy_grad_channels(f, s, c, out, j, K - j, 1);
    } else {
        for (; j + HY_VL <= K; j += HY_VL)
            hy_grad_channels(f, s, c, out, j, HY_VL, 0);
        if (j < K)
            hy_grad_channels(f, s, c, out, j, K - j, 0);
    }
    if (!out->dg || s->vector)
        return;
    for (int64_t i = 0; i < c->len; i++) {
        float sum = hy_vec_sum(hy_vec_load(f->sums + i * HY_VL));
        if (s->a->decay == HY_DECAY_HEAD)
            out->dg[s->vhead] += sum;
        else if (s->a->decay == HY_DECAY_SCALAR)
            out->dg[(c->begin + i) * s->a->HV + s->vhead] = sum;
    }
}

/* The whole chunk; x is the state before it, f->e the errors, f->small.w the inverse. */
static void hy_grad_chunk(hy_grad *f, const hy_scan *s, const hy_chunk *c, hy_mat x, const hy_grad_out *out) {
    hy_grad_outputs(f, s, c, 0);
    hy_grad_weights(f, s, c, out->dbeta);
    if (out->dg)
        hy_grad_state_dot(f, s, x);
    hy_grad_products(f, s, c, x);
    hy_grad_combine(f, s, c, out);
    hy_grad_state(f, s, c, out->dv);
}

#endif
