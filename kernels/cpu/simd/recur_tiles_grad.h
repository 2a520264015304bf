/* The backward step over a chunk of recur_tiles.h: the equations of recur_grad.h, but for dg_t, which sums what lies across t in
 * float terms that are all wanted: pairs i ≥ t > j of dP ⊙ P + dM ⊙ M, what i ≥ t read of the state, what j < t wrote to it.
 * Suffix sums of q dq − k dk, whose terms cancel, would keep the rounding of bf16 factors instead. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_TILES_GRAD_H
#define HY_KERNELS_CPU_SIMD_RECUR_TILES_GRAD_H

#include "kernels/cpu/simd/recur_sums.h"
#include "kernels/cpu/simd/recur_tiles.h"

typedef struct hy_tiles_out {
    hy_key_rows dq, dk;
    int acc; /* a head before this one of the same part has written dq, dk */
    hy_bf16 *dv;
    float *dg, *dbeta;
} hy_tiles_out;

typedef struct hy_tiles_grad {
    hy_mat dx;            /* [K,V] gradient of the state after the chunk, then before it */
    hy_half_mat half;     /* [K,V] the same */
    hy_half_mat xt, dxt;  /* [V/2,K,2] */
    hy_half_mat dxp;      /* [K/2,V,2] */
    hy_half_mat d_o, e;   /* [64,V] */
    hy_half_mat dop, et;  /* [32,V,2]; [V/2,64,2] */
    hy_mat dz, du;        /* [64,V] */
    hy_half_mat duh;      /* [64,V] */
    hy_half_mat turn, pt; /* [32,64,2] of P; [64,64] its transpose */
    hy_mat dp, dm;        /* [64,64] do eᵀ, du eᵀ, then gradients of P and M, lower triangle */
    hy_mat turned;        /* [64,64] the transpose of either */
    hy_half_mat half_dp;  /* [64,64] dP */
    hy_half_mat inner;    /* [64,128] dM + dMᵀ, dPᵀ: what dk takes from the chunk's keys and queries */
    hy_mat dq, dk;        /* [64,K] */
    hy_mat read;          /* [64,K] du Xᵀ */
    hy_half_mat writes;   /* [64,V,2] what dX receives by keys, then by queries */
    float *factor;        /* [64] */
} hy_tiles_grad;

/* Of a chunk, by token, before they are summed across tokens. */
typedef struct hy_tiles_dg {
    double pairs[HY_TILES_CHUNK], read[HY_TILES_CHUNK], written[HY_TILES_CHUNK];
    double across; /* e^{Gn} Σ X ⊙ dX */
} hy_tiles_dg;

static void hy_tiles_grad_layout(hy_tiles_grad *f, const hy_tiles_chunk *c, hy_scratch *m) {
    const int64_t K = c->K, V = c->V, N = HY_TILES_CHUNK;
    f->dx = hy_scratch_mat(m, K, V);
    f->half = hy_tiles_take(m, K, V);
    f->xt = hy_tiles_take(m, V / 2, 2 * K);
    f->dxt = hy_tiles_take(m, V / 2, 2 * K);
    f->dxp = hy_tiles_take(m, K / 2, 2 * V);
    hy_half_mat *const values[] = {&f->d_o, &f->e, &f->duh};
    for (int i = 0; i < 3; i++)
        *values[i] = hy_tiles_take(m, N, V);
    f->dop = hy_tiles_take(m, N / 2, 2 * V);
    f->et = hy_tiles_take(m, V / 2, 2 * N);
    f->dz = hy_scratch_mat(m, N, V);
    f->du = hy_scratch_mat(m, N, V);
    f->turn = hy_tiles_take(m, N / 2, 2 * N);
    f->pt = hy_tiles_take(m, N, N);
    f->half_dp = hy_tiles_take(m, N, N);
    f->inner = hy_tiles_take(m, N, 2 * N);
    hy_mat *const squares[] = {&f->dp, &f->dm, &f->turned};
    for (int i = 0; i < 3; i++)
        *squares[i] = hy_scratch_mat(m, N, N);
    hy_mat *const keys[] = {&f->dq, &f->dk, &f->read};
    for (int i = 0; i < 3; i++)
        *keys[i] = hy_scratch_mat(m, N, K);
    f->writes = hy_tiles_take(m, N, 2 * V);
    f->factor = hy_scratch_take(m, N);
}

/* du = (I + diag(b) M)^-T dz, last block first. */
static void hy_tiles_grad_solve(hy_tiles_grad *f, hy_tiles_chunk *c) {
    hy_tiles_weights_m(c, c->b, NULL);
    for (int64_t block = HY_TILES_BLOCKS - 1; block >= 0; block--) {
        const int64_t first = block * HY_CHUNK, end = first + HY_CHUNK;
        const hy_mat dz = hy_mat_at(f->dz, first, 0);
        hy_mul_atb_add(dz, hy_mat_at(c->m, end, first), hy_mat_at(f->du, end, 0),
                       (hy_shape){HY_CHUNK, c->V, HY_TILES_CHUNK - end}, NULL);
        hy_small_inverse(c->t, c->w + block * 256, c->b + first, NULL);
        hy_mul_atb(hy_mat_at(f->du, first, 0), hy_small_mat(c->t), dz, (hy_shape){HY_CHUNK, c->V, HY_CHUNK}, NULL);
    }
}

/* do, dz, du; c->w is that of the chunk. */
static void hy_tiles_grad_outputs(hy_tiles_grad *f, const hy_scan *s, hy_tiles_chunk *c) {
    const hy_recur_args *a = s->a;
    hy_half_read(f->d_o, (const hy_bf16 *)a->d_o + hy_scan_v_at(s, c->begin), a->HV * a->V, HY_TILES_CHUNK, c->V,
                 c->len, a->V);
    hy_half_pair(f->dop, f->d_o, HY_TILES_CHUNK, c->V);
    hy_tiles_weights_p(c, s, NULL);
    hy_half_pair(f->turn, c->p, HY_TILES_CHUNK, HY_TILES_CHUNK);
    hy_half_turn(f->pt, f->turn, HY_TILES_CHUNK / 2, HY_TILES_CHUNK);
    hy_half_pairs_of(f->dxp, f->dx, NULL, c->K, c->V);
    hy_tiles_set(f->dz, c->k, f->dxp, (hy_shape){HY_TILES_CHUNK, c->V, c->K});
    hy_tiles_scale(f->dz, c->ew, 1, HY_TILES_CHUNK, c->V);
    hy_tiles_upper_add(f->dz, f->pt, f->dop, c->V);
    if (s->delta)
        hy_tiles_grad_solve(f, c);
    else
        memcpy(f->du.p, f->dz.p, (size_t)(HY_TILES_CHUNK * f->dz.ld) * sizeof(float));
    hy_half_rows_of(f->duh, f->du, NULL, HY_TILES_CHUNK, c->V);
}

/* dv = b du, dbeta = du·e. */
static void hy_tiles_grad_values(hy_tiles_grad *f, const hy_scan *s, const hy_tiles_chunk *c, const hy_tiles_out *out) {
    const int64_t V = s->a->V;
    for (int64_t i = 0; i < c->len; i++) {
        const hy_vec b = hy_vec_set(c->b[i]);
        hy_vec sum = hy_vec_zero();
        for (int64_t j = 0; j < V; j += HY_VL) {
            const hy_vec du = hy_vec_load(hy_mat_at(f->du, i, j).p);
            sum += du * hy_half_load(hy_half_at(f->e, i, j));
            hy_vec_store_tail(out->dv + hy_scan_v_at(s, c->begin + i) + j, du * b, V - j);
        }
        if (out->dbeta)
            out->dbeta[(c->begin + i) * s->a->HV + s->vhead] = hy_vec_sum(sum);
    }
}

/* dP, dM. */
static void hy_tiles_grad_weights(hy_tiles_grad *f, const hy_scan *s, const hy_tiles_chunk *c) {
    hy_half_turn(f->et, f->e, HY_TILES_CHUNK, c->V / 2);
    hy_tiles_gram(f->dp, f->d_o, f->et, c->V);
    if (s->delta)
        hy_tiles_gram(f->dm, f->duh, f->et, c->V);
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++)
        for (int64_t of = 0; of < HY_TILES_BLOCKS; of++) {
            const hy_vec b = hy_vec_load(c->b + of * 16);
            hy_vec_store(hy_mat_at(f->dp, i, of * 16).p, hy_tiles_weigh(c, f->dp, i, of, s->scale, 1) * b);
            if (s->delta)
                hy_vec_store(hy_mat_at(f->dm, i, of * 16).p, hy_tiles_weigh(c, f->dm, i, of, -c->b[i], 0) * b);
        }
}

/* Σ_{i ≥ t > j} dP ⊙ P + dM ⊙ M: what columns before t have, without what rows before it do. */
static void hy_tiles_grad_pairs(const hy_tiles_grad *f, const hy_scan *s, const hy_tiles_chunk *c, double *pairs) {
    float columns[HY_TILES_CHUNK] = {0}, rows[HY_TILES_CHUNK];
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++) {
        hy_vec sum = hy_vec_zero();
        for (int64_t of = 0; of <= i / HY_CHUNK; of++) {
            const hy_ivec at = hy_ivec_iota() + hy_ivec_set((int32_t)(of * 16));
            hy_vec x = hy_vec_load(hy_mat_at(f->dp, i, of * 16).p) * hy_vec_load(hy_mat_at(c->qk, i, of * 16).p);
            if (s->delta)
                x += hy_vec_load(hy_mat_at(f->dm, i, of * 16).p) * hy_vec_load(hy_mat_at(c->kk, i, of * 16).p);
            x = hy_vec_select(at < hy_ivec_set((int32_t)i), x, hy_vec_zero());
            sum += x;
            hy_vec_store(columns + of * 16, hy_vec_load(columns + of * 16) + x);
        }
        rows[i] = hy_vec_sum(sum);
    }
    for (int64_t t = 0; t < HY_TILES_CHUNK; t++)
        pairs[t] = t == 0 ? 0 : pairs[t - 1] + (double)columns[t - 1] - (double)rows[t - 1];
}

/* Σ over row i of x ⊙ keys. */
HY_INLINE double hy_tiles_row_dot(hy_mat x, hy_half_mat keys, int64_t i, int64_t cols) {
    hy_vec sum = hy_vec_zero();
    for (int64_t j = 0; j < cols; j += HY_VL)
        sum += hy_vec_load(hy_mat_at(x, i, j).p) * hy_half_load(hy_half_at(keys, i, j));
    return (double)hy_vec_sum(sum);
}

/* Σ X ⊙ dX */
static double hy_tiles_state_dot(const hy_tiles_chunk *c, hy_half_mat x, hy_mat dx) {
    hy_vec sum = hy_vec_zero();
    for (int64_t i = 0; i < c->K; i++)
        for (int64_t j = 0; j < c->V; j += HY_VL)
            sum += hy_half_load(hy_half_at(x, i, j)) * hy_vec_load(hy_mat_at(dx, i, j).p);
    return (double)hy_vec_sum(sum);
}

static void hy_tiles_grad_decay(const hy_scan *s, const hy_tiles_chunk *c, const hy_tiles_dg *x, float *dg) {
    double written[HY_TILES_CHUNK], read = 0;
    for (int64_t t = 0; t < c->len; t++)
        written[t] = t == 0 ? 0 : written[t - 1] + x->written[t - 1];
    for (int64_t t = c->len - 1; t >= 0; t--) {
        read += x->read[t];
        const float sum = (float)(x->across + read + written[t] + x->pairs[t]);
        if (s->a->decay == HY_DECAY_HEAD)
            dg[s->vhead] += sum;
        else
            dg[(c->begin + t) * s->a->HV + s->vhead] = sum;
    }
}

/* dq and dk from the states, and what of dg goes with them; xt, dxt are made. */
static void hy_tiles_grad_states(hy_tiles_grad *f, const hy_scan *s, const hy_tiles_chunk *c, hy_half_mat x,
                                 hy_tiles_dg *dg) {
    const hy_shape shape = {HY_TILES_CHUNK, c->K, c->V};
    hy_half_turn(f->xt, x, c->K, c->V / 2);
    hy_half_rows_of(f->half, f->dx, NULL, c->K, c->V);
    hy_half_turn(f->dxt, f->half, c->K, c->V / 2);
    hy_tiles_set(f->dq, f->d_o, f->xt, shape);
    hy_tiles_scale(f->dq, c->er, s->scale, HY_TILES_CHUNK, c->K);
    hy_tiles_set(f->dk, f->e, f->dxt, shape);
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++)
        f->factor[i] = c->b[i] * c->ew[i];
    hy_tiles_scale(f->dk, f->factor, 1, HY_TILES_CHUNK, c->K);
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++) {
        dg->read[i] = hy_tiles_row_dot(f->dq, c->q, i, c->K);
        dg->written[i] = hy_tiles_row_dot(f->dk, c->k, i, c->K);
    }
    if (!s->delta)
        return;
    hy_tiles_set(f->read, f->duh, f->xt, shape);
    for (int64_t i = 0; i < HY_TILES_CHUNK; i++) {
        const hy_vec read = hy_vec_set(-c->b[i] * c->er[i]);
        hy_vec sum = hy_vec_zero();
        for (int64_t j = 0; j < c->K; j += HY_VL) {
            float *at = hy_mat_at(f->dk, i, j).p;
            const hy_vec y = read * hy_vec_load(hy_mat_at(f->read, i, j).p);
            sum += y * hy_half_load(hy_half_at(c->k, i, j));
            hy_vec_store(at, hy_vec_load(at) + y);
        }
        dg->read[i] += (double)hy_vec_sum(sum);
    }
}

/* f->inner */
static void hy_tiles_grad_inner(hy_tiles_grad *f, const hy_scan *s) {
    if (s->delta) {
        hy_mat_transpose(f->turned, f->dm, HY_TILES_CHUNK, HY_TILES_CHUNK);
        for (int64_t i = 0; i < HY_TILES_CHUNK; i++)
            for (int64_t j = 0; j < HY_TILES_CHUNK; j += HY_VL) {
                float *at = hy_mat_at(f->turned, i, j).p;
                hy_vec_store(at, hy_vec_load(at) + hy_vec_load(hy_mat_at(f->dm, i, j).p));
            }
        hy_half_rows_of(f->inner, f->turned, NULL, HY_TILES_CHUNK, HY_TILES_CHUNK);
    }
    hy_mat_transpose(f->turned, f->dp, HY_TILES_CHUNK, HY_TILES_CHUNK);
    hy_half_rows_of(hy_half_at(f->inner, 0, HY_TILES_CHUNK), f->turned, NULL, HY_TILES_CHUNK, HY_TILES_CHUNK);
}

/* dq, dk, dg. x: the state before the chunk. */
static void hy_tiles_grad_keys(hy_tiles_grad *f, const hy_scan *s, const hy_tiles_chunk *c, hy_half_mat x,
                               const hy_tiles_out *out) {
    hy_tiles_dg dg;
    hy_tiles_grad_weights(f, s, c);
    hy_tiles_grad_states(f, s, c, x, &dg);
    if (out->dg) {
        hy_tiles_grad_pairs(f, s, c, dg.pairs);
        dg.across = (double)c->d * hy_tiles_state_dot(c, x, f->dx);
        hy_tiles_grad_decay(s, c, &dg, out->dg);
    }
    hy_half_rows_of(f->half_dp, f->dp, NULL, HY_TILES_CHUNK, HY_TILES_CHUNK);
    hy_tiles_lower_add(f->dq, f->half_dp, c->pairs, c->K);
    hy_tiles_grad_inner(f, s);
    const int64_t first = s->delta ? 0 : HY_TILES_CHUNK;
    hy_tiles_add(f->dk, hy_half_at(f->inner, 0, first), hy_half_at(c->pairs, first / 2, 0),
                 (hy_shape){HY_TILES_CHUNK, c->K, 2 * HY_TILES_CHUNK - first});
    for (int64_t i = 0; i < c->len; i++)
        for (int64_t j = 0; j < s->a->K; j += HY_VL) {
            const int64_t at = hy_scan_k_at(s, c->begin + i) + j, n = s->a->K - j;
            hy_key_rows_put(out->dq, at, hy_vec_load(hy_mat_at(f->dq, i, j).p), n, out->acc);
            hy_key_rows_put(out->dk, at, hy_vec_load(hy_mat_at(f->dk, i, j).p), n, out->acc);
        }
}

/* dX = e^{Gn} dX + qᵀ diag(scale e^G) do − kᵀ diag(b e^G) du */
static void hy_tiles_grad_state(hy_tiles_grad *f, const hy_scan *s, const hy_tiles_chunk *c) {
    const int64_t first = s->delta ? 0 : HY_TILES_CHUNK;
    if (s->delta) {
        for (int64_t i = 0; i < HY_TILES_CHUNK; i++)
            f->factor[i] = -c->b[i] * c->er[i];
        hy_half_pairs_of(f->writes, f->du, f->factor, HY_TILES_CHUNK, c->V);
    }
    for (int64_t i = 0; i < HY_TILES_CHUNK; i += 2) {
        const hy_vec even = hy_vec_set(s->scale * c->er[i]), odd = hy_vec_set(s->scale * c->er[i + 1]);
        for (int64_t j = 0; j < c->V; j += HY_VL)
            hy_half_put_pair(hy_half_at(f->writes, (HY_TILES_CHUNK + i) / 2, 2 * j).p,
                             even * hy_half_load(hy_half_at(f->d_o, i, j)),
                             odd * hy_half_load(hy_half_at(f->d_o, i + 1, j)));
    }
    hy_tiles_scale(f->dx, NULL, c->d, c->K, c->V);
    hy_tiles_add(f->dx, hy_half_at(c->turned, 0, first), hy_half_at(f->writes, first / 2, 0),
                 (hy_shape){c->K, c->V, 2 * HY_TILES_CHUNK - first});
}

/* The whole chunk; x is the state before it, f->e the errors, c->w the inverses. */
static void hy_tiles_grad_chunk(hy_tiles_grad *f, const hy_scan *s, hy_tiles_chunk *c, hy_half_mat x,
                                const hy_tiles_out *out) {
    hy_tiles_pair_and_turn(c, c->q, 1);
    hy_tiles_grad_outputs(f, s, c);
    hy_tiles_grad_values(f, s, c, out);
    hy_tiles_grad_keys(f, s, c, x, out);
    hy_tiles_grad_state(f, s, c);
}

#endif
