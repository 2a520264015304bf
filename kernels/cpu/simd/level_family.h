/* The log-linear recurrences of one instruction set, across files. Decay that is one number per token; the others stay
 * on cpu_ref. */
#ifndef HY_KERNELS_CPU_SIMD_LEVEL_FAMILY_H
#define HY_KERNELS_CPU_SIMD_LEVEL_FAMILY_H

#include "kernels/cpu/simd/recur_family.h"

void HY_ISA_NAME(hy_level_fwd_chunks)(const hy_level_recur_args *a);
void HY_ISA_NAME(hy_level_map_bwd_chunks)(const hy_level_recur_args *a);
void HY_ISA_NAME(hy_level_bwd_chunks)(const hy_level_recur_args *a);

/* Floats of work, all threads together. */
int64_t HY_ISA_NAME(hy_level_fwd_floats)(const hy_level_recur_args *a);
int64_t HY_ISA_NAME(hy_level_bwd_floats)(const hy_level_recur_args *a);

#endif
