#include <cblas.h>
#include <limits.h>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ref.h"

bool hy_product_fits_int(const hy_gemm_args *a) {
    return a->m > 0 && a->n > 0 && a->k > 0 && a->m <= INT_MAX && a->n <= INT_MAX && a->k <= INT_MAX &&
           a->lda <= INT_MAX && a->ldb <= INT_MAX && a->ldc <= INT_MAX;
}

void hy_blas_gemm_f32(const hy_gemm_args *a) {
    if (!hy_product_fits_int(a)) {
        hy_ref_gemm_f32(a);
        return;
    }
    cblas_sgemm(CblasRowMajor, a->trans_a ? CblasTrans : CblasNoTrans, a->trans_b ? CblasTrans : CblasNoTrans,
                (int)a->m, (int)a->n, (int)a->k, (float)a->alpha, a->a, (int)a->lda, a->b, (int)a->ldb, (float)a->beta,
                a->c, (int)a->ldc);
}

void hy_blas_gemm_f64(const hy_gemm_args *a) {
    if (!hy_product_fits_int(a)) {
        hy_ref_gemm_f64(a);
        return;
    }
    cblas_dgemm(CblasRowMajor, a->trans_a ? CblasTrans : CblasNoTrans, a->trans_b ? CblasTrans : CblasNoTrans,
                (int)a->m, (int)a->n, (int)a->k, a->alpha, a->a, (int)a->lda, a->b, (int)a->ldb, a->beta, a->c,
                (int)a->ldc);
}
