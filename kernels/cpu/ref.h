/* The reference table: plain, complete, every sum in double. Each kernels/cpu/ref_<family>.inc is compiled twice, by
 * ref_<family>.c through ref_twice.h, with
 *   REAL      float, then double: the element type of every array
 *   REF(op)   the operation's name in this file: hy_ref_<op>_f32, then hy_ref_<op>_f64
 *   OWN(name) the same for a static helper: ref_<name>_f32, ...
 * Values are widened to double when loaded and rounded to REAL once, when stored. */
#ifndef HY_KERNELS_CPU_REF_H
#define HY_KERNELS_CPU_REF_H

#include "kernels/kernels.h"

#define HY_X(op, args)                                                                                                 \
    void hy_ref_##op##_f32(const args##_args *a);                                                                      \
    void hy_ref_##op##_f64(const args##_args *a);
HY_OPS(HY_X)
#undef HY_X

/* Scratch of the reference recurrences and attention, the same for both element types. */
size_t hy_ref_recur_work(const hy_recur_args *a);
size_t hy_ref_level_work(const hy_level_recur_args *a);
size_t hy_ref_attn_work(const hy_attn_args *a);
size_t hy_ref_long_conv_work(const hy_long_conv_args *a);

/* *table = cpu_ref for `dtype`. */
void hy_table_init_ref(hy_table *table, hy_dtype dtype);

/* *table = cpu for `dtype`. HY_ERR_USAGE if HYLAS_CPU holds an unknown word. */
HY_MUST_CHECK hy_status hy_table_init_cpu(hy_table *table, hy_dtype dtype);

#endif
