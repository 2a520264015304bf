/* The backward step of the diagonal-plus-low-rank rule over one chunk. dX is the gradient of the state after the chunk,
 * X the state before it, both held transposed, [V,K]. From recur_dplr_chunk.h's equations, rows stacked as there:
 *
 *     du = Qᵀ do + (b e^{Gn−G}) dX      dw = (I − M)^-T du     dz = Pᵀ do + Nᵀ dw + (k e^{Gn−G}) dX;  dv = β dz
 *     gram = [scale do; dw] [z; u]ᵀ, masked: the gradients of P, Q, N, M
 *     [dq; da] = gram [k; b] e^{..} + [scale do; dw] Xᵀ e^G        [dk; db] = gramᵀ [q; a] e^{..} + [z; u] dXᵀ e^{Gn−G}
 *     dX' = diag(e^{Gn}) dX + (scale q e^G)ᵀ do + (a e^{G⁻})ᵀ dw
 *
 * dG_i sums what meets e^{Gi}: q dq here, a da one token earlier, −(k dk + b db) of the part inside the chunk. What a
 * reader meets undecayed, q its own token, a the one before, is left out of dG, as in recur_grad.h. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_DPLR_GRAD_H
#define HY_KERNELS_CPU_SIMD_RECUR_DPLR_GRAD_H

#include "kernels/cpu/simd/recur_dplr_chunk.h"
#include "kernels/cpu/simd/recur_sums.h"

typedef struct hy_dplr_grad {
    hy_dplr_small small;
    hy_mat dx;                /* [V,K] */
    hy_mat dyt, dy;           /* [V,32], [32,V] dz, du */
    hy_mat both;              /* [32,V] scale do, dw */
    hy_mat y, yt;             /* [32,V] z, u and the transpose */
    hy_mat gram;              /* [32,32] without what does not decay */
    hy_mat from_x;            /* [32,K] both Xᵀ */
    hy_mat from_dx;           /* [32,K] y dXᵀ */
    hy_mat upper;             /* [32,K] gram w */
    hy_mat lower;             /* [32,K] gramᵀ r */
    float *xdx;               /* [K] Σ_V X ⊙ dX */
    float *qk, *qb, *ak, *ab; /* [16] of gram: q's own token; a's token before */
    float *sums;              /* [16,HY_VL] of dg that is one number per token: lanes still apart */
} hy_dplr_grad;

HY_INLINE void hy_dplr_grad_layout(hy_dplr_grad *f, const hy_scan *s, hy_scratch *m) {
    hy_mat *const values[] = {&f->dy, &f->both, &f->y}, *const turned[] = {&f->dyt, &f->yt};
    hy_mat *const keys[] = {&f->from_x, &f->from_dx, &f->upper, &f->lower};
    float **const rows[] = {&f->qk, &f->qb, &f->ak, &f->ab};
    hy_dplr_small_layout(&f->small, m);
    f->dx = hy_scratch_mat(m, s->Vp, s->Kp);
    f->gram = hy_scratch_mat(m, HY_ROWS, HY_ROWS);
    for (size_t i = 0; i < 3; i++)
        *values[i] = hy_scratch_mat(m, HY_ROWS, s->Vp);
    for (size_t i = 0; i < 2; i++)
        *turned[i] = hy_scratch_mat(m, s->Vp, HY_ROWS);
    for (size_t i = 0; i < 4; i++)
        *keys[i] = hy_scratch_mat(m, HY_ROWS, s->Kp);
    for (size_t i = 0; i < 4; i++)
        *rows[i] = hy_scratch_take(m, HY_CHUNK);
    f->xdx = hy_scratch_take(m, s->Kp);
    f->sums = hy_scratch_take(m, HY_CHUNK * HY_VL);
}

/* Where the gradients of one value head go. */
typedef struct hy_dplr_out {
    hy_key_rows dq, dk, da, db;
    int acc; /* a head before this one of the same group has written them */
    hy_elem *dv;
    float *dg, *dbeta;
} hy_dplr_out;

/* both = [scale do; dw], and dy = [dz; du]. */
static void hy_dplr_grad_outputs(hy_dplr_grad *f, const hy_scan *s, const hy_dplr_chunk *c) {
    const hy_shape inner = {16, s->Vp, 16};
    const hy_mat du = hy_mat_at(f->dy, 16, 0), dw = hy_mat_at(f->both, 16, 0), p = f->small.gram;
    hy_dplr_weights(c, s, &f->small, 1);
    hy_mat_read(f->both, (const hy_elem *)s->a->d_o + hy_scan_v_at(s, c->begin), s->a->HV * s->a->V, inner, c->len,
                s->a->V);
    hy_mul_ab(f->dyt, f->dx, c->lt, (hy_shape){s->Vp, HY_ROWS, s->Kp}, NULL);
    hy_mat_transpose(f->dy, f->dyt, s->Vp, HY_ROWS);
    hy_mul_atb_add(du, hy_mat_at(p, 0, 16), f->both, inner, NULL);
    hy_mul_atb(dw, hy_small_mat(f->small.t), du, inner, NULL);
    hy_mul_atb_add(f->dy, p, f->both, (hy_shape){16, s->Vp, HY_ROWS}, NULL);
    for (int64_t i = 0; i < HY_CHUNK; i++)
        for (int64_t j = 0; j < s->Vp; j += HY_VL) {
            float *at = hy_mat_at(f->both, i, j).p;
            hy_vec_store(at, hy_vec_load(at) * hy_vec_set(s->scale));
        }
}

/* dv = β dz, dbeta = dz·v. */
static void hy_dplr_grad_values(const hy_dplr_grad *f, const hy_scan *s, const hy_dplr_chunk *c,
                                const hy_dplr_out *out) {
    const int64_t V = s->a->V;
    for (int64_t i = 0; i < c->len; i++) {
        const int64_t at = hy_scan_v_at(s, c->begin + i);
        hy_vec sum = hy_vec_zero(), b = hy_vec_set(c->b[i]);
        for (int64_t j = 0; j < V; j += HY_VL) {
            const hy_vec dz = hy_vec_load(hy_mat_at(f->dy, i, j).p);
            sum += dz * hy_vec_load_tail((const hy_elem *)s->a->v + at + j, V - j);
            hy_vec_store_tail(out->dv + at + j, dz * b, V - j);
        }
        if (out->dbeta)
            out->dbeta[(c->begin + i) * s->a->HV + s->vhead] = hy_vec_sum(sum);
    }
}

/* Gradients of the four matrices; what does not decay stands apart. both's first rows carry the scale already. */
static void hy_dplr_grad_weights(hy_dplr_grad *f, const hy_scan *s) {
    hy_mat_transpose(f->yt, f->y, HY_ROWS, s->Vp);
    hy_mul_ab(f->gram, f->both, f->yt, (hy_shape){HY_ROWS, HY_ROWS, s->Vp}, NULL);
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        f->qk[i] = *hy_mat_at(f->gram, i, i).p;
        f->qb[i] = *hy_mat_at(f->gram, i, 16 + i).p;
        f->ak[i] = i > 0 ? *hy_mat_at(f->gram, 16 + i, i - 1).p : 0;
        f->ab[i] = i > 0 ? *hy_mat_at(f->gram, 16 + i, 15 + i).p : 0;
    }
    hy_dplr_mask(f->gram, 0, 1, 0);
    hy_dplr_mask(f->gram, 16, 1, -1);
}

/* Σ_V X ⊙ dX per channel. */
static void hy_dplr_grad_state_dot(hy_dplr_grad *f, const hy_scan *s, hy_mat x) {
    for (int64_t j = 0; j < s->Kp; j += HY_VL) {
        hy_vec sum[4] = {hy_vec_zero(), hy_vec_zero(), hy_vec_zero(), hy_vec_zero()};
        for (int64_t i = 0; i < s->Vp; i++)
            sum[i % 4] += hy_vec_load(hy_mat_at(x, i, j).p) * hy_vec_load(hy_mat_at(f->dx, i, j).p);
        hy_vec_store(f->xdx + j, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

/* Channels from j on of dq, dk, da, db and dg. */
static void hy_dplr_grad_channels(hy_dplr_grad *f, const hy_scan *s, const hy_dplr_chunk *c, const hy_dplr_out *out,
                                  int64_t j) {
    const hy_recur_args *a = s->a;
    const int64_t n = a->K - j;
    const hy_vec ea = hy_vec_load(c->ea + j), ec = hy_vec_load(c->ec + j);
    hy_vec wk[HY_CHUNK], wb[HY_CHUNK], before[HY_CHUNK], ended = hy_vec_zero();
    for (int64_t i = 0; i < c->len; i++) {
        const hy_vec fw = hy_vec_load(hy_mat_at(c->fw, i, j).p) * ec;
        wk[i] = hy_vec_load(hy_mat_at(f->from_dx, i, j).p) * fw;
        wb[i] = hy_vec_load(hy_mat_at(f->from_dx, 16 + i, j).p) * fw;
        before[i] = ended;
        ended += wk[i] * hy_dplr_row(c, s, a->k, i, j) + wb[i] * hy_dplr_row(c, s, a->b, i, j);
    }
    hy_vec sum = hy_vec_load(c->d + j) * hy_vec_load(f->xdx + j), a1 = hy_vec_zero();
    for (int64_t i = c->len - 1; i >= 0; i--) {
        const hy_vec q = hy_dplr_row(c, s, a->q, i, j), k = hy_dplr_row(c, s, a->k, i, j);
        const hy_vec r = hy_dplr_row(c, s, a->a, i, j), b = hy_dplr_row(c, s, a->b, i, j);
        const hy_vec fr = hy_vec_load(hy_mat_at(c->fr, i, j).p), fw = hy_vec_load(hy_mat_at(c->fw, i, j).p);
        const hy_vec read_a = hy_vec_load(hy_mat_at(f->from_x, 16 + i, j).p);
        hy_vec dq = (hy_vec_load(hy_mat_at(f->from_x, i, j).p) * ea + hy_vec_load(hy_mat_at(f->upper, i, j).p)) * fr;
        hy_vec da = i == 0 ? read_a
                           : (read_a * ea + hy_vec_load(hy_mat_at(f->upper, 16 + i, j).p)) *
                                 hy_vec_load(hy_mat_at(c->fr, i - 1, j).p);
        hy_vec dk = hy_vec_load(hy_mat_at(f->lower, i, j).p) * fw,
               db = hy_vec_load(hy_mat_at(f->lower, 16 + i, j).p) * fw;
        sum += q * dq - k * dk - b * db;
        if (out->dg && a->decay == HY_DECAY_VECTOR)
            hy_vec_store_tail(out->dg + ((c->begin + i) * a->HV + s->vhead) * a->K + j, sum + before[i], n);
        else
            hy_vec_store(f->sums + i * HY_VL, hy_vec_load(f->sums + i * HY_VL) + sum + before[i]);
        sum += r * da;
        dq += hy_vec_set(f->qk[i]) * k + hy_vec_set(f->qb[i]) * b;
        dk += wk[i] + hy_vec_set(f->qk[i]) * q;
        db += wb[i] + hy_vec_set(f->qb[i]) * q;
        if (i + 1 < c->len) {
            dk += hy_vec_set(f->ak[i + 1]) * a1;
            db += hy_vec_set(f->ab[i + 1]) * a1;
        }
        if (i > 0)
            da += hy_vec_set(f->ak[i]) * hy_dplr_row(c, s, a->k, i - 1, j) +
                  hy_vec_set(f->ab[i]) * hy_dplr_row(c, s, a->b, i - 1, j);
        a1 = r;
        const int64_t at = hy_scan_k_at(s, c->begin + i) + j;
        hy_key_rows_put(out->dq, at, dq, n, out->acc);
        hy_key_rows_put(out->dk, at, dk, n, out->acc);
        hy_key_rows_put(out->da, at, da, n, out->acc);
        hy_key_rows_put(out->db, at, db, n, out->acc);
    }
}

/* dq, dk, da, db, dg of the chunk. */
static void hy_dplr_grad_combine(hy_dplr_grad *f, const hy_scan *s, const hy_dplr_chunk *c, const hy_dplr_out *out) {
    memset(f->sums, 0, HY_CHUNK * sizeof(hy_vec));
    for (int64_t j = 0; j < s->a->K; j += HY_VL)
        hy_dplr_grad_channels(f, s, c, out, j);
    for (int64_t i = 0; i < c->len && out->dg && s->a->decay != HY_DECAY_VECTOR; i++) {
        const float sum = hy_vec_sum(hy_vec_load(f->sums + i * HY_VL));
        if (s->a->decay == HY_DECAY_HEAD)
            out->dg[s->vhead] += sum;
        else
            out->dg[(c->begin + i) * s->a->HV + s->vhead] = sum;
    }
}

/* dX before the chunk from dX after it. */
static void hy_dplr_grad_state(hy_dplr_grad *f, const hy_scan *s, const hy_dplr_chunk *c) {
    hy_mul_atb_cols(f->dx, f->both, c->rx, (hy_shape){s->Vp, s->Kp, HY_ROWS}, c->d);
}

/* The whole chunk; x is the state before it, f->y holds z and u. */
static void hy_dplr_grad_chunk(hy_dplr_grad *f, const hy_scan *s, const hy_dplr_chunk *c, hy_mat x,
                               const hy_dplr_out *out) {
    const hy_shape wide = {HY_ROWS, s->Kp, s->Vp}, inside = {HY_ROWS, s->Kp, HY_ROWS};
    hy_dplr_grad_outputs(f, s, c);
    hy_dplr_grad_values(f, s, c, out);
    hy_dplr_grad_weights(f, s);
    hy_dplr_grad_state_dot(f, s, x);
    hy_mul_ab(f->from_x, f->both, x, wide, NULL);
    hy_mul_ab(f->from_dx, f->y, f->dx, wide, NULL);
    hy_mul_ab(f->upper, f->gram, c->w, inside, NULL);
    hy_mul_atb(f->lower, f->gram, c->r, inside, NULL);
    hy_dplr_grad_combine(f, s, c, out);
    hy_dplr_grad_state(f, s, c);
}

#endif
