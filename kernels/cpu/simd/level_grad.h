/* The backward step over one chunk of a log-linear recurrence (level_chunk.h has the forward). dX_bit is the gradient
 * of the state after the chunk, dO that of the states' common end, both transposed like X. With F_bit = do X_bitᵀ and,
 * summed over bits,
 *
 *     dQ = Σ l_{bit+1} F_bit      dl_{bit+1} = Q·F_bit      U_bit = −e^{Gn−G} (k dX_bit)      dR = Σ U_bit X_bitᵀ
 *     dX_bit' = e^{Gn} dX_bit + (l_{bit+1} do)ᵀ Q + U_bitᵀ R
 *
 * then the weights, with D = e^{Gn−G} (k dO):
 *
 *     dv = (N ⊙ Λ)ᵀ do + Bᵀ D     dN = (do vᵀ) ⊙ Λ − dQ (k e^G)ᵀ     dB = D vᵀ + dR (k e^G)ᵀ + Pᵀ dN     dP = dN Bᵀ
 *     T = (I + M diag b)^-1, dT = diag(b) dB, Z = Tᵀ dT Tᵀ:     dM = −Z diag b     db = Σ_j dB_ij T_ij − Σ_i Z_ij M_ij
 *
 * and from dP, dM, dQ, d(k e^G) = −Nᵀ dQ + Bᵀ dR and W = e^{Gn−G} ((B v) dOᵀ − Σ (R X_bit) dX_bitᵀ) the gradients of q,
 * k, g. dg_t sums what lies across t: pairs i ≥ t > j of dP ⊙ P + dM ⊙ M, reads at i ≥ t, writes at j < t; no sum
 * cancels. */
#ifndef HY_KERNELS_CPU_SIMD_LEVEL_GRAD_H
#define HY_KERNELS_CPU_SIMD_LEVEL_GRAD_H

#include "kernels/cpu/simd/level_chunk.h"
#include "kernels/cpu/simd/recur_sums.h"

/* Where the gradients of one value head go. */
typedef struct hy_level_out {
    hy_key_rows dq, dk;
    int acc; /* a head before this one of the same part has written dq, dk */
} hy_level_out;

typedef struct hy_level_grad {
    hy_level_move move;
    hy_mat own;           /* [V,K] dO */
    hy_mat both;          /* [32,V] do, then U of a bit or D */
    hy_mat write;         /* [32,V] l do, then U: what dX receives */
    hy_mat from_x;        /* [32,K] F, then U Xᵀ, of a bit */
    hy_mat sums;          /* [32,K] dQ, then dR */
    hy_mat w;             /* [16,K] W */
    hy_mat dkr;           /* [16,K] gradient of k e^G */
    hy_mat dq, dk;        /* [16,K] */
    hy_mat krt, vt;       /* [K,16], [V,16] transposes */
    hy_mat dv;            /* [16,V] */
    float *dn, *db, *dp;  /* [16,16], [16,16], [32,16] dP then dM */
    float *gram, *t, *dt; /* [32,16], [16,16], [16,16] */
    float *dl;            /* [N+1,16] */
    float *dbeta;         /* [16] */
    float across;         /* Σ X ⊙ dX over all bits */
} hy_level_grad;

HY_INLINE void hy_level_grad_layout(hy_level_grad *f, const hy_level_scan *s, hy_scratch *m) {
    const int64_t Kp = s->scan.Kp, Vp = s->scan.Vp;
    hy_level_move_layout(&f->move, s, m);
    f->own = (hy_mat){hy_scratch_take(m, s->size), hy_mat_ld(Kp)};
    f->both = hy_scratch_mat(m, 32, Vp);
    f->write = hy_scratch_mat(m, 32, Vp);
    f->from_x = hy_scratch_mat(m, 32, Kp);
    f->sums = hy_scratch_mat(m, 32, Kp);
    hy_mat *const of_keys[] = {&f->w, &f->dkr, &f->dq, &f->dk};
    for (int i = 0; i < 4; i++)
        *of_keys[i] = hy_scratch_mat(m, 16, Kp);
    f->krt = (hy_mat){hy_scratch_take(m, Kp * 16), 16};
    f->vt = (hy_mat){hy_scratch_take(m, Vp * 16), 16};
    f->dv = hy_scratch_mat(m, 16, Vp);
    float **const small[] = {&f->dn, &f->db, &f->dp, &f->gram, &f->t, &f->dt};
    for (int i = 0; i < 6; i++)
        *small[i] = hy_scratch_take(m, 512);
    f->dl = hy_scratch_take(m, (s->N + 1) * 16);
    f->dbeta = hy_scratch_take(m, 16);
}

static void hy_level_clear(hy_mat a, int64_t rows) {
    memset(a.p, 0, (size_t)(rows * a.ld) * sizeof *a.p);
}

/* dst += src, row i times f[i] */
HY_INLINE void hy_level_add_rows(hy_mat dst, hy_mat src, const float *f, float factor, int64_t cols) {
    for (int64_t i = 0; i < HY_CHUNK; i++)
        for (int64_t j = 0; j < cols; j += HY_VL) {
            float *to = hy_mat_at(dst, i, j).p;
            hy_vec_store(to, hy_vec_load(to) + hy_vec_load(hy_mat_at(src, i, j).p) * hy_vec_set(factor * f[i]));
        }
}

static float hy_level_dot(const float *a, const float *b, int64_t n) {
    hy_vec sum[2] = {hy_vec_zero(), hy_vec_zero()};
    for (int64_t j = 0; j < n; j += 16)
        for (int64_t l = 0; l < 16; l += HY_VL)
            sum[l / HY_VL & 1] += hy_vec_load(a + j + l) * hy_vec_load(b + j + l);
    return hy_vec_sum(sum[0] + sum[1]);
}

/* x = k dX, [16,V] */
static void hy_level_keys_times(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c, hy_mat dX) {
    hy_mul_ab(f->move.t, dX, c->chunk.kt, (hy_shape){s->scan.Vp, 16, s->scan.Kp}, NULL);
    hy_mat_transpose(f->move.x, f->move.t, s->scan.Vp, 16);
}

/* The carry's adjoint: gradients of the states entering the next chunk to those of the states after this one, and dO.
 */
static void hy_level_carry_back(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c, float *dX) {
    const size_t bytes = (size_t)s->size * sizeof(float);
    if (c->carry >= s->N) {
        memset(f->own.p, 0, bytes);
        return;
    }
    memcpy(f->own.p, hy_level_state(s, dX, c->carry).p, bytes);
    for (int64_t bit = 0; bit < c->carry; bit++)
        if (hy_level_enters(c, bit))
            memcpy(hy_level_state(s, dX, bit).p, f->own.p, bytes);
}

/* do; the chunk's own kt where prepare made none. */
static void hy_level_grad_begin(hy_level_grad *f, const hy_level_scan *s, hy_level_chunk *c, float *dX) {
    const hy_recur_args *a = s->scan.a;
    hy_ahead_reset();
    hy_mat_read(f->both, (const hy_elem *)a->d_o + hy_scan_v_at(&s->scan, c->chunk.begin), a->HV * a->V,
                (hy_shape){16, s->scan.Vp, 0}, c->chunk.len, a->V);
    hy_level_carry_back(f, s, c, dX);
}

/* dX of one bit to that before the chunk. U is in `both` if the rule is delta. */
static void hy_level_grad_state(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c, int64_t bit,
                                hy_mat dX) {
    const int64_t Vp = s->scan.Vp;
    hy_level_scale_rows(f->write, f->both, c->l + (bit + 1) * 16, 1, Vp);
    for (int64_t i = 16; s->scan.delta && i < 32; i++)
        memcpy(hy_mat_at(f->write, i, 0).p, hy_mat_at(f->both, i, 0).p, (size_t)Vp * sizeof(float));
    hy_mul_atb_cols(dX, f->write, c->rows, (hy_shape){Vp, s->scan.Kp, s->scan.delta ? 32 : 16}, c->chunk.d);
}

/* U of a bit. */
static void hy_level_grad_correction(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c, hy_mat dX) {
    hy_level_keys_times(f, s, c, dX);
    hy_level_scale_rows(hy_mat_at(f->both, 16, 0), f->move.x, c->chunk.ew, -1, s->scan.Vp);
}

/* The sums over bits, and every dX to before the chunk. X: the states before it. */
static void hy_level_grad_states(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c, float *X,
                                 float *dX) {
    const int64_t Kp = s->scan.Kp, Vp = s->scan.Vp, rows = s->scan.delta ? 32 : 16;
    hy_level_clear(f->sums, 32);
    f->across = 0;
    for (int64_t bit = 0; bit < s->N; bit++) {
        if (!hy_level_enters(c, bit))
            continue;
        hy_mat x = hy_level_state(s, X, bit), dx = hy_level_state(s, dX, bit);
        for (int64_t j = 0; j < Vp; j++)
            f->across += hy_level_dot(hy_mat_at(x, j, 0).p, hy_mat_at(dx, j, 0).p, Kp);
        if (s->scan.delta) {
            hy_level_correction(&f->move, s, c, x);
            hy_mul_ab(f->dq, f->move.x, dx, (hy_shape){16, Kp, Vp}, NULL);
            hy_level_add_rows(f->w, f->dq, c->chunk.ew, -1, Kp);
            hy_level_grad_correction(f, s, c, dx);
        }
        hy_mul_ab(f->from_x, f->both, x, (hy_shape){rows, Kp, Vp}, NULL);
        const float *l = c->l + (bit + 1) * 16;
        hy_level_add_rows(f->sums, f->from_x, l, 1, Kp);
        for (int64_t i = 0; i < HY_CHUNK; i++) {
            f->dl[(bit + 1) * 16 + i] = hy_level_dot(hy_mat_at(c->rows, i, 0).p, hy_mat_at(f->from_x, i, 0).p, Kp);
            for (int64_t j = 0; s->scan.delta && j < Kp; j += HY_VL) {
                float *to = hy_mat_at(f->sums, 16 + i, j).p;
                hy_vec_store(to, hy_vec_load(to) + hy_vec_load(hy_mat_at(f->from_x, 16 + i, j).p));
            }
        }
        hy_level_grad_state(f, s, c, bit, dx);
    }
}

/* D into both's lower half; dv, dB's first term, W's first term; dN's first term and the dl of pairs. */
static void hy_level_grad_inside(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c) {
    const int64_t Kp = s->scan.Kp, Vp = s->scan.Vp;
    const hy_shape square = {16, 16, Vp}, wide = {16, Vp, 16};
    hy_mat D = hy_mat_at(f->both, 16, 0), bv = f->write;
    hy_level_keys_times(f, s, c, f->own);
    hy_level_scale_rows(D, f->move.x, c->chunk.ew, 1, Vp);
    hy_mat_transpose(f->vt, c->v, 16, Vp);
    hy_mul_ab(hy_small_mat(f->gram), f->both, f->vt, square, NULL);
    hy_mul_ab(hy_small_mat(f->db), D, f->vt, square, NULL);
    hy_mul_atb(f->dv, hy_small_mat(c->weights), f->both, wide, NULL);
    hy_mul_atb_add(f->dv, (hy_mat){c->n + 256, 16}, D, wide, NULL);
    hy_mul_ab(bv, (hy_mat){c->n + 256, 16}, c->v, wide, NULL);
    hy_mul_ab(f->w, bv, f->own, (hy_shape){16, Kp, Vp}, NULL);
    hy_level_scale_rows(f->w, f->w, c->chunk.ew, 1, Kp);
    memset(f->dl, 0, (size_t)((s->N + 1) * 16) * sizeof(float));
    for (int64_t i = 0; i < HY_CHUNK; i++)
        for (int64_t j = 0; j < HY_CHUNK; j++) {
            const int64_t level = hy_level_of_pair(i, j);
            const int inside = j <= i && level <= s->N;
            f->dn[i * 16 + j] = inside ? f->gram[i * 16 + j] * c->l[level * 16 + i] : 0;
            if (inside)
                f->dl[level * 16 + i] -= f->gram[i * 16 + j] * c->n[i * 16 + j];
        }
}

/* out = op(A) op(B), 16×16. */
static void hy_level_small_product(float *out, const float *a, int ta, const float *b, int tb) {
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < HY_CHUNK; j++) {
            float sum = 0;
            for (int n = 0; n < HY_CHUNK; n++)
                sum += a[ta ? n * 16 + i : i * 16 + n] * b[tb ? j * 16 + n : n * 16 + j];
            out[i * 16 + j] = sum;
        }
}

/* dN, dB, then dP, dM and dbeta. */
static void hy_level_grad_weights(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c) {
    const float *b = c->chunk.b, *T = c->small.t;
    if (s->scan.delta) {
        hy_mat_transpose(f->krt, c->kr, 16, s->scan.Kp);
        hy_mul_ab(hy_small_mat(f->gram), f->sums, f->krt, (hy_shape){32, 16, s->scan.Kp}, NULL);
        for (int i = 0; i < 256; i++) {
            f->dn[i] -= i % 16 <= i / 16 ? f->gram[i] : 0;
            f->db[i] += f->gram[256 + i];
        }
    }
    hy_level_small_product(f->t, c->small.p, 1, f->dn, 0);
    for (int i = 0; i < 256; i++)
        f->db[i] += f->t[i];
    hy_level_small_product(f->dp, f->dn, 0, c->b, 1);
    memset(f->dp + 256, 0, 256 * sizeof(float));
    for (int i = 0; i < HY_CHUNK; i++) {
        f->dbeta[i] = f->db[i * 17];
        for (int j = 0; s->scan.delta && j < i; j++)
            f->dbeta[i] += f->db[i * 16 + j] * T[i * 16 + j];
    }
    if (!s->scan.delta)
        return;
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < HY_CHUNK; j++)
            f->dt[i * 16 + j] = j <= i ? b[i] * f->db[i * 16 + j] : 0;
    hy_level_small_product(f->gram, f->dt, 0, T, 1);
    hy_level_small_product(f->dt, T, 1, f->gram, 0);
    for (int i = 0; i < HY_CHUNK; i++)
        for (int j = 0; j < i; j++) {
            f->dp[256 + i * 16 + j] = -f->dt[i * 16 + j] * b[j];
            f->dbeta[j] -= f->dt[i * 16 + j] * c->small.m[i * 16 + j];
        }
}

/* dg of the chunk's tokens; dP, dM are still without E. */
static void hy_level_grad_decay(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c) {
    const hy_recur_args *a = s->scan.a;
    const int64_t Kp = s->scan.Kp;
    float read[HY_CHUNK], written[HY_CHUNK];
    for (int64_t i = 0; i < HY_CHUNK; i++) {
        read[i] = s->scan.scale * c->chunk.er[i] *
                  hy_level_dot(hy_mat_at(c->chunk.qk, i, 0).p, hy_mat_at(f->sums, i, 0).p, Kp);
        if (s->scan.delta)
            read[i] += hy_level_dot(hy_mat_at(c->kr, i, 0).p, hy_mat_at(f->dkr, i, 0).p, Kp);
        written[i] = hy_level_dot(hy_mat_at(c->chunk.km, i, 0).p, hy_mat_at(f->w, i, 0).p, Kp);
    }
    for (int64_t t = 0; t < c->chunk.len; t++) {
        float sum = f->across * c->chunk.d[0];
        for (int64_t i = t; i < HY_CHUNK; i++) {
            sum += read[i];
            for (int64_t j = 0; j < t; j++)
                sum += f->dp[i * 16 + j] * c->small.p[i * 16 + j] +
                       (s->scan.delta ? f->dp[256 + i * 16 + j] * c->small.m[i * 16 + j] : 0);
        }
        for (int64_t j = 0; j < t; j++)
            sum += written[j];
        if (a->decay == HY_DECAY_HEAD)
            ((float *)a->dg)[s->scan.vhead] += sum;
        else
            ((float *)a->dg)[(c->chunk.begin + t) * a->HV + s->scan.vhead] = sum;
    }
}

/* dq, dk from everything else. */
static void hy_level_grad_keys(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c) {
    const int64_t Kp = s->scan.Kp;
    const hy_shape shape = {16, Kp, 16};
    for (int i = 0; i < 256; i++) {
        const float E = i % 16 <= i / 16 ? c->chunk.E[i] : 0;
        f->dp[i] *= s->scan.scale * E;
        f->dp[256 + i] *= E;
    }
    hy_mul_ab(f->dq, hy_small_mat(f->dp), c->chunk.km, shape, NULL);
    hy_level_add_rows(f->dq, f->sums, c->chunk.er, s->scan.scale, Kp);
    hy_mul_atb(f->dk, hy_small_mat(f->dp), c->chunk.qk, (hy_shape){16, Kp, s->scan.delta ? 32 : 16}, NULL);
    static const float ones[HY_CHUNK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    hy_level_add_rows(f->dk, f->w, ones, 1, Kp);
    if (s->scan.delta) {
        hy_mul_ab_rows(f->dk, hy_small_mat(f->dp + 256), c->chunk.km, shape, ones);
        hy_level_add_rows(f->dk, f->dkr, c->chunk.er, 1, Kp);
    }
}

/* d(k e^G) = −Nᵀ dQ + Bᵀ dR */
static void hy_level_grad_reads(hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c) {
    if (s->scan.delta)
        hy_mul_atb(f->dkr, (hy_mat){c->n, 16}, f->sums, (hy_shape){16, s->scan.Kp, 32}, NULL);
}

static void hy_level_put_keys(hy_key_rows to, const hy_level_scan *s, const hy_level_chunk *c, hy_mat x, int acc) {
    const int64_t K = s->scan.a->K;
    for (int64_t i = 0; i < c->chunk.len; i++)
        for (int64_t j = 0; j < K; j += HY_VL)
            hy_key_rows_put(to, hy_scan_k_at(&s->scan, c->chunk.begin + i) + j, hy_vec_load(hy_mat_at(x, i, j).p),
                            K - j, acc);
}

static void hy_level_write(const hy_level_grad *f, const hy_level_scan *s, const hy_level_chunk *c,
                           const hy_level_out *out) {
    const hy_level_recur_args *args = s->levels;
    const hy_recur_args *a = &args->base;
    const int64_t begin = c->chunk.begin, len = c->chunk.len;
    hy_level_put_keys(out->dq, s, c, f->dq, out->acc);
    hy_level_put_keys(out->dk, s, c, f->dk, out->acc);
    hy_mat_write((hy_elem *)a->dv + hy_scan_v_at(&s->scan, begin), a->HV * a->V, f->dv, len, a->V);
    for (int64_t i = 0; i < len; i++) {
        const int64_t at = (begin + i) * a->HV + s->scan.vhead;
        if (a->dbeta)
            ((float *)a->dbeta)[at] = f->dbeta[i];
        for (int64_t n = 0; n < args->L; n++)
            ((float *)args->dl)[at * args->L + n] = n <= s->N ? f->dl[n * 16 + i] : 0;
    }
}

/* The whole chunk; X the states before it; dX from those of the next chunk to those of this one. */
static void hy_level_grad_chunk(hy_level_grad *f, const hy_level_scan *s, hy_level_chunk *c, float *X, float *dX,
                                const hy_level_out *out) {
    hy_level_grad_begin(f, s, c, dX);
    hy_level_grad_inside(f, s, c);
    hy_level_grad_states(f, s, c, X, dX);
    hy_level_grad_weights(f, s, c);
    hy_level_grad_reads(f, s, c);
    if (s->scan.a->dg)
        hy_level_grad_decay(f, s, c);
    hy_level_grad_keys(f, s, c);
    hy_level_write(f, s, c, out);
}

#endif
