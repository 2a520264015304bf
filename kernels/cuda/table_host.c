/* cuda_host: the operations of this folder on the interpreter of tests/simt; those that are not written yet, and products, from cpu. */
#include <stdio.h>

#include "kernels/cpu/ref.h"
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

hy_status hy_table_init_cuda_host(hy_table *table, hy_dtype dtype) {
    static char detail[32];
    hy_table cpu;
    if (dtype == HY_F64) {
        return hy_fail(HY_ERR_USAGE, "device 'cuda_host' computes in f32 or bf16, not in f64");
    }
    HY_TRY(hy_table_init_cpu(&cpu, dtype));
    *table = (hy_table){.name = "cuda_host", .detail = detail, .dtype = dtype};
    hy_cuda_host_table(table);
    const int missing = fill_from(&cpu, table);
    table->recur_work = table->recur_work != NULL ? table->recur_work : cpu.recur_work;
    table->level_work = table->level_work != NULL ? table->level_work : cpu.level_work;
    table->attn_work = table->attn_work != NULL ? table->attn_work : cpu.attn_work;
    table->long_conv_work = table->long_conv_work != NULL ? table->long_conv_work : cpu.long_conv_work;
    snprintf(detail, sizeof detail, "interpreted: %d of %d", HY_OP_COUNT - missing, (int)HY_OP_COUNT);
    return HY_OK;
}
