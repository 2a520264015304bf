/* Fast recurrences of this instruction set: which table entries they replace, and which shapes stay with the reference. */
#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/recur_family.h"

/* Chunks need keys; K = 1 may come without. */
static int in_chunks(const hy_recur_args *a) {
    return a->rule != HY_RULE_DPLR && a->K > 1;
}

static size_t recur_work(const hy_recur_args *a) {
    if (!in_chunks(a))
        return hy_ref_recur_work(a);
    int64_t fwd = HY_ISA_NAME(hy_recur_fwd_floats)(a), bwd = HY_ISA_NAME(hy_recur_bwd_floats)(a);
    return (size_t)(fwd > bwd ? fwd : bwd) * sizeof(float) + HY_RECUR_ALIGN;
}

#define HY_RECUR_CHOICE(op)                                                                                            \
    static void op(const hy_recur_args *a) {                                                                           \
        (in_chunks(a) ? HY_ISA_NAME(hy_##op) : hy_ref_##op##_f32)(a);                                                  \
    }
HY_RECUR_CHOICE(recur_fwd)
HY_RECUR_CHOICE(recur_inject)
HY_RECUR_CHOICE(recur_map)
HY_RECUR_CHOICE(recur_map_bwd)
HY_RECUR_CHOICE(recur_bwd)

void HY_ISA_NAME(hy_recur_overlay)(hy_table *table) {
    table->recur_fwd = recur_fwd;
    table->recur_inject = recur_inject;
    table->recur_map = recur_map;
    table->recur_map_bwd = recur_map_bwd;
    table->recur_bwd = recur_bwd;
    table->map_apply = HY_ISA_NAME(hy_map_apply);
    table->map_compose = HY_ISA_NAME(hy_map_compose);
    table->recur_work = recur_work;
}
