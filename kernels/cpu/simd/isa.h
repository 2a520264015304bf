/* One source, one object per instruction set. launch/cmake/HylasKernels.cmake compiles each file of kernels/cpu/simd once
 * for each of plain, avx2 and avx512 with HY_ISA set to that word (and HY_ISA_<word>=1). What such a file does not keep
 * to itself (static) carries the instruction set in its name, HY_ISA_NAME(...): the functions that the files of a family
 * share, declared in its header, and one that others call:
 *
 *     void HY_ISA_NAME(hy_<family>_overlay)(hy_table *table)
 *
 * It replaces entries of a float32 table that holds cpu_ref. An overlay that replaces a user of `work` also sets
 * recur_work or attn_work to a size that serves every entry left in the table. table_cpu.c calls the overlays of the
 * widest instruction set the processor has. A new family is one line in HY_SIMD_FAMILIES. */
#ifndef HY_KERNELS_CPU_SIMD_ISA_H
#define HY_KERNELS_CPU_SIMD_ISA_H

#include "kernels/kernels.h"

#define HY_SIMD_FAMILIES(X)                                                                                            \
    X(recur)                                                                                                           \
    X(level)                                                                                                           \
    X(attn)                                                                                                            \
    X(elementwise)

#define HY_ISA_PASTE_(name, isa) name##_##isa
#define HY_ISA_PASTE(name, isa)  HY_ISA_PASTE_(name, isa)

#ifdef HY_ISA
#define HY_ISA_NAME(name) HY_ISA_PASTE(name, HY_ISA)
#define HY_X(family)      void HY_ISA_NAME(hy_##family##_overlay)(hy_table * table);
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#endif

#endif
