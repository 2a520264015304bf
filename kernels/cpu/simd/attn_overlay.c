/* Fast softmax attention of this instruction set: which table entries they replace. delta_i = Σ_c do_ic y_ic is here.
 */
#include <omp.h>

#include "kernels/cpu/simd/attn.h"

static void attn_delta(const hy_attn_delta_args *a) {
    const hy_elem *d_o = a->d_o, *o = a->y;
    float *delta = a->delta;
    const int64_t n = a->DV;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < a->rows; row++) {
        const hy_elem *x = d_o + row * n, *y = o + row * n;
        hy_vec sum = hy_vec_zero();
        for (int64_t c = 0; c < n; c += HY_VL)
            sum += hy_vec_load_tail(x + c, n - c) * hy_vec_load_tail(y + c, n - c);
        delta[row] = hy_vec_sum(sum);
    }
}

/* A function of sizes and threads alone; the 64 bytes align the first piece. */
static size_t attn_work(const hy_attn_args *a) {
    size_t fwd = HY_ISA_NAME(hy_attn_fwd_floats)(a->D, a->DV), bwd = HY_ISA_NAME(hy_attn_bwd_floats)(a->D, a->DV);
    return (fwd > bwd ? fwd : bwd) * sizeof(float) * (size_t)omp_get_max_threads() + 64;
}

static void attn_fwd(const hy_attn_args *a) {
    hy_attn_each_pair(a, sizeof(hy_elem), sizeof(float), HY_ISA_NAME(hy_attn_fwd));
}

static void attn_bwd(const hy_attn_args *a) {
    hy_attn_each_pair(a, sizeof(hy_elem), sizeof(float), HY_ISA_NAME(hy_attn_bwd));
}

void HY_ISA_NAME(hy_attn_overlay)(hy_table *table) {
    table->attn_fwd = attn_fwd;
    table->attn_delta = attn_delta;
    table->attn_bwd = attn_bwd;
    table->attn_work = attn_work;
}
