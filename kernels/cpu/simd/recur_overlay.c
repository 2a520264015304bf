/* Fast recurrences of this instruction set: which table entries they replace. */
#include "kernels/cpu/simd/recur_family.h"

static size_t recur_work(const hy_recur_args *a) {
    int64_t fwd = HY_ISA_NAME(hy_recur_fwd_floats)(a), bwd = HY_ISA_NAME(hy_recur_bwd_floats)(a);
    return (size_t)(fwd > bwd ? fwd : bwd) * sizeof(float) + HY_RECUR_ALIGN;
}

void HY_ISA_NAME(hy_recur_overlay)(hy_table *table) {
    table->recur_fwd = HY_ISA_NAME(hy_recur_fwd);
    table->recur_inject = HY_ISA_NAME(hy_recur_inject);
    table->recur_map = HY_ISA_NAME(hy_recur_map);
    table->recur_map_bwd = HY_ISA_NAME(hy_recur_map_bwd);
    table->recur_bwd = HY_ISA_NAME(hy_recur_bwd);
    table->map_apply = HY_ISA_NAME(hy_map_apply);
    table->map_compose = HY_ISA_NAME(hy_map_compose);
    table->recur_work = recur_work;
}
