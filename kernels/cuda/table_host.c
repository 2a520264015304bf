/* cuda_host: the operations of this folder on the interpreter of tests/simt; those that are not written yet are cpu's. */
#include <stdio.h>

#include "kernels/cpu/fft_convolution.h"
#include "kernels/cpu/ref.h"
#include "kernels/cuda/fft_rows.h"
#include "kernels/cuda/table_cuda.h"

/* What `table` lacks. */
static int fill_from(const hy_table *other, hy_table *table) {
    int missing = 0;
#define HY_X(op, args)                                                                                                 \
    if (table->op == NULL) {                                                                                           \
        table->op = other->op;                                                                                         \
        missing++;                                                                                                     \
    }
    HY_OPS(HY_X)
#undef HY_X
    return missing;
}

/* ---- products: the library's part is cpu's, what it has no form for is interpreted ---- */

typedef void gemm_entry(const hy_gemm_args *a);
static gemm_entry *library_f32, *library_bf16, *own_f32, *own_bf16;

static void host_gemm_f32(const hy_gemm_args *a) {
    (a->k == 0 ? own_f32 : library_f32)(a);
}

static void host_gemm_bf16(const hy_gemm_args *a) {
    const int half_a = a->a_role < HY_ROLE_STAT, half_b = a->b_role < HY_ROLE_STAT, half_c = a->c_role < HY_ROLE_STAT;
    (a->k == 0 || half_a != half_b || (half_c && !half_a) ? own_bf16 : library_bf16)(a);
}

static void share_products(const hy_table *cpu, hy_table *table) {
    if (table->dtype == HY_BF16) {
        library_bf16 = cpu->gemm;
        own_bf16 = table->gemm;
        table->gemm = host_gemm_bf16;
    } else {
        library_f32 = cpu->gemm;
        own_f32 = table->gemm;
        table->gemm = host_gemm_f32;
    }
}

void hy_cuda_host_fft(const hy_fft_rows *fft) {
    hy_fft_rows_f32(fft->rows, fft->n, fft->points, fft->stride, fft->inverse);
}

hy_status hy_table_init_cuda_host(hy_table *table, hy_dtype dtype) {
    static char detail[32];
    hy_table cpu;
    if (dtype == HY_F64) {
        return hy_fail(HY_ERR_USAGE, "device 'cuda_host' computes in f32 or bf16, not in f64");
    }
    HY_TRY(hy_table_init_cpu(&cpu, dtype));
    *table = (hy_table){.name = "cuda_host", .detail = detail, .dtype = dtype};
    hy_cuda_host_table(table);
    share_products(&cpu, table);
    const int missing = fill_from(&cpu, table);
    table->recur_work = table->recur_work != NULL ? table->recur_work : cpu.recur_work;
    table->level_work = table->level_work != NULL ? table->level_work : cpu.level_work;
    table->attn_work = table->attn_work != NULL ? table->attn_work : cpu.attn_work;
    table->long_conv_work = table->long_conv_work != NULL ? table->long_conv_work : cpu.long_conv_work;
    snprintf(detail, sizeof detail, "interpreted: %d of %d", HY_OP_COUNT - missing, (int)HY_OP_COUNT);
    return HY_OK;
}
