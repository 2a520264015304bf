/* One source, one object per instruction set and element type of activations. launch/cmake/HylasKernels.cmake compiles each file of
 * kernels/cpu/simd for plain, avx2 and avx512 with HY_ISA set to that word (and HY_ISA_<word>=1), once for float and once
 * with HY_BF16_ACTS=1; the latter also for amx, which is avx512 (HY_ISA_avx512=1 too) with AVX512-BF16 and AMX tiles. What such a
 * file does not keep to itself (static) carries both in its name, HY_ISA_NAME(...): the functions that the files of a family
 * share, declared in its header, and one that others call:
 *
 *     void HY_ISA_NAME(hy_<family>_overlay)(hy_table *table)
 *
 * It replaces entries of a float32 or bf16 table that holds cpu_ref. An overlay that replaces a user of `work` also sets
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

/* The element type of arrays whose role is act or weight; stat and grad are float in either case. vec.h loads and stores both. */
#if HY_BF16_ACTS
typedef hy_bf16 hy_elem;
#define HY_ELEM_NAME(name) name##_bf16 /* in cpu_ref */
#else
#define HY_BF16_ACTS       0
typedef float hy_elem;
#define HY_ELEM_NAME(name) name##_f32
#endif

#define HY_ISA_PASTE_(name, isa) name##_##isa
#define HY_ISA_PASTE(name, isa)  HY_ISA_PASTE_(name, isa)

#ifdef HY_ISA
#if HY_BF16_ACTS
#define HY_ISA_NAME(name) HY_ISA_PASTE(name##_bf16, HY_ISA)
#else
#define HY_ISA_NAME(name) HY_ISA_PASTE(name, HY_ISA)
#endif
#define HY_X(family) void HY_ISA_NAME(hy_##family##_overlay)(hy_table * table);
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#endif

#endif
