/* The recurrences of one instruction set, across files, and the alignment of their work. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_FAMILY_H
#define HY_KERNELS_CPU_SIMD_RECUR_FAMILY_H

#include "kernels/cpu/simd/isa.h"

#define HY_RECUR_ALIGN 64 /* bytes; the size of work has as many to spare */

static inline float *hy_align_floats(void *work) {
    return (float *)(((uintptr_t)work + HY_RECUR_ALIGN - 1) & ~(uintptr_t)(HY_RECUR_ALIGN - 1));
}

void HY_ISA_NAME(hy_recur_fwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_inject)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_map)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_map_bwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_bwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_dplr_fwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_dplr_inject)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_dplr_map)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_dplr_map_bwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_recur_dplr_bwd)(const hy_recur_args *a);
void HY_ISA_NAME(hy_map_apply)(const hy_map_apply_args *a);
void HY_ISA_NAME(hy_map_compose)(const hy_map_compose_args *a);

/* Floats of work, all threads together, for fwd, inject and map, and for bwd and map_bwd. */
int64_t HY_ISA_NAME(hy_recur_fwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_bwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_dplr_fwd_floats)(const hy_recur_args *a);
int64_t HY_ISA_NAME(hy_recur_dplr_bwd_floats)(const hy_recur_args *a);

#endif
