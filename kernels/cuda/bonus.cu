/* What a token adds to its own output: o (+)= s·v, s = Σ r u k; a row is a token's head. For the gradient of u each row's ds is left in the
 * workspace, so rows are taken in slabs that fit. */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/rows.cuh"

namespace HY_GPU {

struct bonus_of {
    int64_t rows, H, K, V;
    array r, k, v, o, d_o, dr, dk, dv;
    const float *u;
    float *du, *scores; /* scores: [rows] of the workspace, what ds is */
    int acc_o, acc_r, acc_k, acc_v;
};

HY_DEVICE float bonus_score(const bonus_of &a, int64_t row) {
    const float *u = a.u + row % a.H * a.K;
    return lane_sum(a.K, [&](int64_t i) { return get(a.r, row * a.K + i) * u[i] * get(a.k, row * a.K + i); });
}

HY_KERNEL(EACH_THREADS, bonus_fwd_kernel)(const bonus_of a) {
    each_row(a.rows, [&](int64_t row) {
        const float s = bonus_score(a, row);
        each_lane(a.V, [&](int64_t j) { put_or_add(a.o, row * a.V + j, s * get(a.v, row * a.V + j), a.acc_o); });
    });
}

HY_KERNEL(EACH_THREADS, bonus_bwd_kernel)(const bonus_of a) {
    each_row(a.rows, [&](int64_t row) {
        const float *u = a.u + row % a.H * a.K;
        const float s = bonus_score(a, row);
        const float ds = lane_sum(a.V, [&](int64_t j) { return get(a.d_o, row * a.V + j) * get(a.v, row * a.V + j); });
        if (lane_index() == 0)
            a.scores[row] = ds;
        each_lane(a.V, [&](int64_t j) { put_or_add(a.dv, row * a.V + j, s * get(a.d_o, row * a.V + j), a.acc_v); });
        each_lane(a.K, [&](int64_t i) {
            const float r = get(a.r, row * a.K + i), k = get(a.k, row * a.K + i);
            put_or_add(a.dr, row * a.K + i, ds * u[i] * k, a.acc_r);
            put_or_add(a.dk, row * a.K + i, ds * u[i] * r, a.acc_k);
        });
    });
}

struct bonus_terms {
    int64_t H, K;
    array r, k;
    const float *scores;
    float *du;
    HY_MEMBER float at(int64_t t, int64_t c) const {
        const int64_t i = t * H * K + c;
        return scores[t * H + c / K] * get(r, i) * get(k, i);
    }
    HY_MEMBER void finish(int64_t c, float sum) const {
        du[c] += sum;
    }
};

template <hy_dtype P> static bonus_of bonus_args(const hy_bonus_args *a) {
    return {a->T * a->H,
            a->H,
            a->K,
            a->V,
            array_of<P>(HY_ROLE_ACT, a->r),
            array_of<P>(HY_ROLE_ACT, a->k),
            array_of<P>(HY_ROLE_ACT, a->v),
            array_of<P>(HY_ROLE_ACT, a->o),
            array_of<P>(HY_ROLE_ACT, a->d_o),
            array_of<P>(HY_ROLE_ACT, a->dr),
            array_of<P>(HY_ROLE_ACT, a->dk),
            array_of<P>(HY_ROLE_ACT, a->dv),
            static_cast<const float *>(a->u),
            static_cast<float *>(a->du),
            nullptr,
            a->acc_o,
            a->acc_r,
            a->acc_k,
            a->acc_v};
}

template <hy_dtype P> static void bonus_fwd(const hy_bonus_args *a) {
    HY_LAUNCH(bonus_fwd_kernel, blocks_for_rows(a->T * a->H), EACH_THREADS, 0, bonus_args<P>(a));
}

enum : int64_t { BONUS_SLAB = 8 << 20 }; /* rows: 32 MiB */

static void bonus_bwd_slab(bonus_of a, int64_t first, int64_t rows) {
    const size_t taken = (size_t)rows * sizeof(float);
    a.rows = rows;
    a.scores = static_cast<float *>(workspace(taken));
    a.r = behind(a.r, first * a.K);
    a.k = behind(a.k, first * a.K);
    a.v = behind(a.v, first * a.V);
    a.d_o = behind(a.d_o, first * a.V);
    a.dr = behind(a.dr, first * a.K);
    a.dk = behind(a.dk, first * a.K);
    a.dv = behind(a.dv, first * a.V);
    HY_LAUNCH(bonus_bwd_kernel, blocks_for_rows(rows), EACH_THREADS, 0, a);
    column_sums(rows / a.H, a.H * a.K, bonus_terms{a.H, a.K, a.r, a.k, a.scores, a.du}, taken);
}

template <hy_dtype P> static void bonus_bwd(const hy_bonus_args *a) {
    const bonus_of args = bonus_args<P>(a);
    const int64_t slab = a->H > 0 ? BONUS_SLAB / a->H * a->H : 1;
    for (int64_t first = 0; first < args.rows; first += slab)
        bonus_bwd_slab(args, first, args.rows - first < slab ? args.rows - first : slab);
}

template <hy_dtype P> static void bonus_entries(hy_table *table) {
    table->bonus_fwd = bonus_fwd<P>;
    table->bonus_bwd = bonus_bwd<P>;
}

void overlay_bonus(hy_table *table) {
    HY_OVERLAY(bonus_entries, table);
}

} // namespace HY_GPU
