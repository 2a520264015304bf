/* Table cpu: cpu_ref, with BLAS products and FFTW convolutions, and for float32 and bf16 the fast variants of the widest instruction set
 * that the processor has (isa_choice.h). */
#include <omp.h>
#include <stddef.h>

#include "base/signals.h"
#include "kernels/cpu/fft_convolution.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/ref.h"

/* Only OpenBLAS has it; another BLAS keeps its own thread count. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));

static void overlay(hy_table *table, const hy_overlay_fn *overlays) {
    for (; overlays != NULL && *overlays != NULL; overlays++)
        (*overlays)(table);
}

static void overlay_f32(hy_table *table, const hy_isa_choice *isa) {
    const hy_gemm_fn onednn = hy_onednn_gemm(HY_F32, isa->name);
    table->detail = isa->name;
    table->gemm = onednn != NULL ? onednn : hy_blas_gemm_f32;
    table->long_conv_fwd = hy_fft_long_conv_fwd_f32;
    table->long_conv_bwd = hy_fft_long_conv_bwd_f32;
    table->long_conv_work = hy_fft_long_conv_work_f32;
    overlay(table, isa->f32);
}

static void overlay_f64(hy_table *table) {
    table->detail = "cpu_ref, BLAS and FFTW";
    table->gemm = hy_blas_gemm_f64;
    table->long_conv_fwd = hy_fft_long_conv_fwd_f64;
    table->long_conv_bwd = hy_fft_long_conv_bwd_f64;
    table->long_conv_work = hy_fft_long_conv_work_f64;
}

static void overlay_bf16(hy_table *table, const hy_isa_choice *isa) {
    const hy_gemm_fn onednn = hy_onednn_gemm(HY_BF16, isa->name);
    table->detail = isa->name;
    table->long_conv_fwd = hy_fft_long_conv_fwd_bf16;
    table->long_conv_bwd = hy_fft_long_conv_bwd_bf16;
    table->long_conv_work = hy_fft_long_conv_work_bf16;
    overlay(table, isa->bf16);
    if (onednn != NULL)
        table->gemm = onednn;
}

/* oneDNN's sgemm takes the stack pointer for its own use: a handler that ran on its thread would write into the heap. */
static void start_workers_without_signals(void) {
    static int started = 1; /* a child of fork has none of them, and must not wait for them */
    if (omp_get_max_threads() <= started)
        return;
    started = omp_get_max_threads();
    sigset_t before;
    hy_signals_hold(&before);
#pragma omp parallel
    (void)omp_get_thread_num(); /* something to do: they are made for it */
    hy_signals_release(&before);
}

hy_status hy_table_init_cpu(hy_table *table, hy_dtype dtype) {
    const hy_isa_choice *isa = NULL;
    HY_TRY(hy_isa_choose(dtype == HY_BF16 ? HY_BF16 : HY_F32, &isa));
    hy_table_init_ref(table, dtype);
    table->name = "cpu";
    start_workers_without_signals();
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
