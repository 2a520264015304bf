/* Products of bf16 by BLAS: blocks of A and B are widened to float, multiplied, and summed over k in float; a result is rounded once.
 * Arrays that are float already are used where they are. */
#include "kernels/cpu/simd/isa.h"

#if HY_BF16_ACTS
#include <cblas.h>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/elementwise.h"

enum { BLOCK = 256 };

typedef struct blocks {
    float a[BLOCK * BLOCK], b[BLOCK * BLOCK], c[BLOCK * BLOCK];
} blocks;

/* A matrix of float for BLAS. */
typedef struct operand {
    const float *data;
    int64_t ld;
} operand;

static int64_t at_most_block(int64_t n) {
    return n < BLOCK ? n : BLOCK;
}

/* Rows r .. r + rows − 1, columns c .. c + cols − 1 of a matrix as it is stored, in `space` if they have to be widened. */
static operand operand_of(hy_role role, const void *data, int64_t ld, int64_t r, int64_t c, int64_t rows, int64_t cols,
                          float *space) {
    if (!hy_role_is_elem(role))
        return (operand){(const float *)data + r * ld + c, ld};
    const hy_copy2d_args widen = {.rows = rows,
                                  .cols = cols,
                                  .src_ld = ld,
                                  .dst_ld = BLOCK,
                                  .src = (const hy_elem *)data + r * ld + c,
                                  .dst = space,
                                  .from = role,
                                  .to = HY_ROLE_STAT};
    HY_ISA_NAME(hy_fast_copy2d)(&widen);
    return (operand){space, BLOCK};
}

/* Block (i, j) of C: rows i .. i + m − 1, columns j .. j + n − 1. */
static void block_of_c(const hy_gemm_args *a, blocks *w, int64_t i, int64_t j, int64_t m, int64_t n) {
    const int narrow = hy_role_is_elem(a->c_role);
    float *c = narrow ? w->c : (float *)a->c + i * a->ldc + j;
    const int64_t ldc = narrow ? BLOCK : a->ldc;
    if (narrow && a->beta != 0)
        (void)operand_of(a->c_role, a->c, a->ldc, i, j, m, n, w->c);
    for (int64_t p = 0; p < a->k; p += BLOCK) {
        const int64_t k = at_most_block(a->k - p);
        const operand x = a->trans_a ? operand_of(a->a_role, a->a, a->lda, p, i, k, m, w->a)
                                     : operand_of(a->a_role, a->a, a->lda, i, p, m, k, w->a);
        const operand y = a->trans_b ? operand_of(a->b_role, a->b, a->ldb, j, p, n, k, w->b)
                                     : operand_of(a->b_role, a->b, a->ldb, p, j, k, n, w->b);
        cblas_sgemm(CblasRowMajor, a->trans_a ? CblasTrans : CblasNoTrans, a->trans_b ? CblasTrans : CblasNoTrans,
                    (int)m, (int)n, (int)k, (float)a->alpha, x.data, (int)x.ld, y.data, (int)y.ld,
                    p == 0 ? (float)a->beta : 1.0f, c, (int)ldc);
    }
    if (narrow) {
        const hy_copy2d_args round = {.rows = m,
                                      .cols = n,
                                      .src_ld = BLOCK,
                                      .dst_ld = a->ldc,
                                      .src = w->c,
                                      .dst = (hy_elem *)a->c + i * a->ldc + j,
                                      .from = HY_ROLE_STAT,
                                      .to = a->c_role};
        HY_ISA_NAME(hy_fast_copy2d)(&round);
    }
}

void HY_ISA_NAME(hy_fast_gemm)(const hy_gemm_args *a) {
    blocks w;
    if (!hy_product_fits_int(a)) {
        hy_ref_gemm_bf16(a);
        return;
    }
    for (int64_t i = 0; i < a->m; i += BLOCK)
        for (int64_t j = 0; j < a->n; j += BLOCK)
            block_of_c(a, &w, i, j, at_most_block(a->m - i), at_most_block(a->n - j));
}
#endif
