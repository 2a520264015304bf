/* Fast log-linear recurrences of this instruction set: which table entries they replace, for which shapes. */
#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/level_family.h"

/* Depends on the shape alone, as work does. */
static int in_chunks(const hy_level_recur_args *a) {
    return a->base.decay != HY_DECAY_VECTOR;
}

static size_t fast_level_work(const hy_level_recur_args *a) {
    if (!in_chunks(a))
        return hy_ref_level_work(a);
    const int64_t fwd = HY_ISA_NAME(hy_level_fwd_floats)(a), bwd = HY_ISA_NAME(hy_level_bwd_floats)(a);
    return (size_t)(fwd > bwd ? fwd : bwd) * sizeof(float) + HY_RECUR_ALIGN;
}

#define HY_LEVEL_CHOICE(op)                                                                                            \
    static void op(const hy_level_recur_args *a) {                                                                     \
        if (in_chunks(a))                                                                                              \
            HY_ISA_NAME(hy_##op##_chunks)(a);                                                                          \
        else                                                                                                           \
            HY_ELEM_NAME(hy_ref_##op)(a);                                                                              \
    }
HY_LEVEL_CHOICE(level_fwd)
HY_LEVEL_CHOICE(level_map_bwd)
HY_LEVEL_CHOICE(level_bwd)

void HY_ISA_NAME(hy_level_overlay)(hy_table *table) {
    table->level_fwd = level_fwd;
    table->level_map_bwd = level_map_bwd;
    table->level_bwd = level_bwd;
    table->level_work = fast_level_work;
}
