/* The recurrences of one instruction set, across files, and the alignment of their work. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_FAMILY_H
#define HY_KERNELS_CPU_SIMD_RECUR_FAMILY_H

#include "kernels/cpu/simd/isa.h"

#define HY_RECUR_ALIGN 64 /* bytes; the size of work has as many to spare */

static inline float *hy_align_floats(void *work) {
    return (float *)(((uintptr_t)work + HY_RECUR_ALIGN - 1) & ~(uintptr_t)(HY_RECUR_ALIGN - 1));
}

/* The kernels of one form of the recurrence, and the floats of work they need, all threads together: for fwd, inject
 * and map, and for bwd and map_bwd. */
#define HY_RECUR_KERNELS(form)                                                                                         \
    void HY_ISA_NAME(form##fwd)(const hy_recur_args *a);                                                               \
    void HY_ISA_NAME(form##inject)(const hy_recur_args *a);                                                            \
    void HY_ISA_NAME(form##map)(const hy_recur_args *a);                                                               \
    void HY_ISA_NAME(form##map_bwd)(const hy_recur_args *a);                                                           \
    void HY_ISA_NAME(form##bwd)(const hy_recur_args *a);

HY_RECUR_KERNELS(hy_recur_)             /* additive and delta, in chunks */
HY_RECUR_KERNELS(hy_recur_dplr_)        /* diagonal plus low rank, in chunks */
HY_RECUR_KERNELS(hy_recur_diagonal_)    /* additive, vector decay, V = 1, K ≤ HY_DIAGONAL_MAX */
HY_RECUR_KERNELS(hy_recur_elementwise_) /* additive, K = V = 1, no keys */

#define HY_DIAGONAL_MAX 64

/* The first on AMX tiles: decay of one number per token or none, not exclusive, K and V that fill tiles. */
#define HY_TILES_MIN 32
void HY_ISA_NAME(hy_recur_tiles_fwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_tiles_bwd)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_tiles_floats)(const hy_recur_args *a); /* with those of inject and map */

int64_t HY_ISA_NAME(hy_recur_fwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_bwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_dplr_fwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_dplr_bwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_diagonal_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_elementwise_floats)(const hy_recur_args *a);

void HY_ISA_NAME(hy_map_apply)(const hy_map_apply_args *a);
void HY_ISA_NAME(hy_map_fold)(const hy_map_fold_args *a);
void HY_ISA_NAME(hy_map_join)(const hy_map_join_args *a);
void HY_ISA_NAME(hy_map_compose)(const hy_map_compose_args *a);

#endif
