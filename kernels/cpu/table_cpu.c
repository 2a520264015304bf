/* Table cpu: cpu_ref, with BLAS products and FFTW convolutions, and for float32 the fast variants of the widest instruction set that the
 * processor has. Every instruction set is linked in; which one runs is decided here, once per table. The environment
 * variable HYLAS_CPU = plain | avx2 | avx512 names the widest set allowed. */
#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/fft_convolution.h"
#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/isa.h"

typedef void (*overlay_fn)(hy_table *table);

#define HY_DECLARE(family, isa) void HY_ISA_PASTE(hy_##family##_overlay, isa)(hy_table * table);
#define HY_ENTRY(family, isa)   HY_ISA_PASTE(hy_##family##_overlay, isa),

#if HY_HAVE_plain
#define HY_X(family) HY_DECLARE(family, plain)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY(family, plain)
static const overlay_fn overlays_plain[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X
#endif

#if HY_HAVE_avx2
#define HY_X(family) HY_DECLARE(family, avx2)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY(family, avx2)
static const overlay_fn overlays_avx2[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#if HY_HAVE_avx512
#define HY_X(family) HY_DECLARE(family, avx512)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY(family, avx512)
static const overlay_fn overlays_avx512[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
#endif

static int has_plain(void) {
    return 1;
}

/* Widest first. A set that was not compiled for this architecture has overlays NULL, yet its name is known. */
typedef struct isa_choice {
    const char *name;
    int (*supported)(void);
    const overlay_fn *overlays;
} isa_choice;

static const isa_choice isa_choices[] = {
#if HY_HAVE_avx512
    {"avx512", has_avx512, overlays_avx512},
#else
    {"avx512", NULL, NULL},
#endif
#if HY_HAVE_avx2
    {"avx2", has_avx2, overlays_avx2},
#else
    {"avx2", NULL, NULL},
#endif
#if HY_HAVE_plain
    {"plain", has_plain, overlays_plain},
#else
    {"plain", has_plain, NULL},
#endif
};
#define ISA_COUNT (sizeof isa_choices / sizeof isa_choices[0])

static hy_status choose_isa(const isa_choice **out) {
    const char *limit = getenv("HYLAS_CPU");
    size_t first = 0;
    if (limit != NULL && limit[0] != '\0') {
        while (first < ISA_COUNT && strcmp(limit, isa_choices[first].name) != 0)
            first++;
        if (first == ISA_COUNT)
            return hy_fail(HY_ERR_USAGE, "HYLAS_CPU=%s: not one of plain, avx2, avx512", limit);
    }
    while (isa_choices[first].supported == NULL || !isa_choices[first].supported())
        first++;
    *out = &isa_choices[first];
    return HY_OK;
}

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

hy_status hy_table_init_cpu(hy_table *table, hy_dtype dtype) {
    const isa_choice *isa = NULL;
    HY_TRY(choose_isa(&isa));
    hy_table_init_ref(table, dtype);
    table->name = "cpu";
    if (openblas_set_num_threads != NULL)
        openblas_set_num_threads(omp_get_max_threads());
    if (dtype == HY_BF16)
        return HY_OK; /* nothing fast yet: the reference */
    if (dtype == HY_F64) {
        table->detail = "cpu_ref, BLAS and FFTW";
        table->gemm = blas_gemm_f64;
        table->long_conv_fwd = hy_fft_long_conv_fwd_f64;
        table->long_conv_bwd = hy_fft_long_conv_bwd_f64;
        table->long_conv_work = hy_fft_long_conv_work_f64;
        return HY_OK;
    }
    table->detail = isa->name;
    table->gemm = blas_gemm_f32;
    table->long_conv_fwd = hy_fft_long_conv_fwd_f32;
    table->long_conv_bwd = hy_fft_long_conv_bwd_f32;
    table->long_conv_work = hy_fft_long_conv_work_f32;
    for (const overlay_fn *overlay = isa->overlays; overlay != NULL && *overlay != NULL; overlay++)
        (*overlay)(table);
    return HY_OK;
}
