/* Table cpu: cpu_ref, with BLAS products and FFTW convolutions, and for float32 and bf16 the fast variants of the widest instruction set
 * that the processor has (isa_choice.h). */
#include <cblas.h>
#include <limits.h>
#include <omp.h>

#include "kernels/cpu/fft_convolution.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/ref.h"

/* BLAS cannot take sizes beyond int, nor leading dimensions of 0, which an empty sum may come with. */
static int blas_can(const hy_gemm_args *a) {
    return a->m > 0 && a->n > 0 && a->k > 0 && a->m <= INT_MAX && a->n <= INT_MAX && a->k <= INT_MAX &&
           a->lda <= INT_MAX && a->ldb <= INT_MAX && a->ldc <= INT_MAX;
}

static void blas_gemm_f32(const hy_gemm_args *a) {
    if (!blas_can(a)) {
        hy_ref_gemm_f32(a);
        return;
    }
    cblas_sgemm(CblasRowMajor, a->trans_a ? CblasTrans : CblasNoTrans, a->trans_b ? CblasTrans : CblasNoTrans,
                (int)a->m, (int)a->n, (int)a->k, (float)a->alpha, a->a, (int)a->lda, a->b, (int)a->ldb, (float)a->beta,
                a->c, (int)a->ldc);
}

static void blas_gemm_f64(const hy_gemm_args *a) {
    if (!blas_can(a)) {
        hy_ref_gemm_f64(a);
        return;
    }
    cblas_dgemm(CblasRowMajor, a->trans_a ? CblasTrans : CblasNoTrans, a->trans_b ? CblasTrans : CblasNoTrans,
                (int)a->m, (int)a->n, (int)a->k, a->alpha, a->a, (int)a->lda, a->b, (int)a->ldb, a->beta, a->c,
                (int)a->ldc);
}

/* Only OpenBLAS has it; another BLAS keeps its own thread count. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));

static void overlay(hy_table *table, const hy_overlay_fn *overlays) {
    for (; overlays != NULL && *overlays != NULL; overlays++)
        (*overlays)(table);
}

static void overlay_f32(hy_table *table, const hy_isa_choice *isa) {
    table->detail = isa->name;
    table->gemm = blas_gemm_f32;
    table->long_conv_fwd = hy_fft_long_conv_fwd_f32;
    table->long_conv_bwd = hy_fft_long_conv_bwd_f32;
    table->long_conv_work = hy_fft_long_conv_work_f32;
    overlay(table, isa->f32);
}

static void overlay_f64(hy_table *table) {
    table->detail = "cpu_ref, BLAS and FFTW";
    table->gemm = blas_gemm_f64;
    table->long_conv_fwd = hy_fft_long_conv_fwd_f64;
    table->long_conv_bwd = hy_fft_long_conv_bwd_f64;
    table->long_conv_work = hy_fft_long_conv_work_f64;
}

static void overlay_bf16(hy_table *table, const hy_isa_choice *isa) {
    table->detail = isa->name;
    overlay(table, isa->bf16);
}

hy_status hy_table_init_cpu(hy_table *table, hy_dtype dtype) {
    const hy_isa_choice *isa = NULL;
    HY_TRY(hy_isa_choose(dtype == HY_BF16 ? HY_BF16 : HY_F32, &isa));
    hy_table_init_ref(table, dtype);
    table->name = "cpu";
    if (openblas_set_num_threads != NULL)
        openblas_set_num_threads(omp_get_max_threads());
    if (dtype == HY_F64)
        overlay_f64(table);
    else if (dtype == HY_F32)
        overlay_f32(table, isa);
    else
        overlay_bf16(table, isa);
    return HY_OK;
}
