/* The reference table: plain, complete, every sum in double. Each kernels/cpu/ref_<family>.inc is compiled three times, by
 * ref_<family>.c through ref_precisions.h, for float, double and bf16, with
 *   ACT, STAT        element types of activations, of statistics (and vectors of parameters); GRAD as STAT
 *   GET(x)           an element as a double;  PUT(p, v) rounds once, into *p
 *   AT(role, p, i)   element i of an array whose role the arguments tell, as a double;  SET(role, p, i, v) rounds into it
 *   REF(op)          the operation's name in this file: hy_ref_<op>_f32, _f64, _bf16
 *   OWN(name)        the same for a static helper: ref_<name>_f32, ... */
#ifndef HY_KERNELS_CPU_REF_H
#define HY_KERNELS_CPU_REF_H

#include <math.h>

#include "kernels/kernels.h"

static inline double hy_ref_sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static inline double hy_ref_softplus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

#define GRAD STAT

static inline double hy_ref_get_f32(float x) {
    return (double)x;
}
static inline double hy_ref_get_f64(double x) {
    return x;
}
static inline double hy_ref_get_bf16(hy_bf16 x) {
    return (double)hy_bf16_value(x);
}
static inline void hy_ref_put_f32(float *p, double value) {
    *p = (float)value;
}
static inline void hy_ref_put_f64(double *p, double value) {
    *p = value;
}
static inline void hy_ref_put_bf16(hy_bf16 *p, double value) {
    *p = hy_bf16_of((float)value);
}
#define hy_ref_get(x) _Generic((x), float : hy_ref_get_f32, double : hy_ref_get_f64, hy_bf16 : hy_ref_get_bf16)(x)
#define hy_ref_put(p, v)                                                                                               \
    _Generic((p), float * : hy_ref_put_f32, double * : hy_ref_put_f64, hy_bf16 * : hy_ref_put_bf16)(p, v)
#define GET(x)    hy_ref_get(x)
#define PUT(p, v) hy_ref_put(p, v)

static inline double hy_ref_mixed_get(hy_role role, const void *array, int64_t i) {
    return role < HY_ROLE_STAT ? hy_ref_get_bf16(((const hy_bf16 *)array)[i])
                               : hy_ref_get_f32(((const float *)array)[i]);
}
static inline void hy_ref_mixed_put(hy_role role, void *array, int64_t i, double value) {
    if (role < HY_ROLE_STAT)
        hy_ref_put_bf16((hy_bf16 *)array + i, value);
    else
        hy_ref_put_f32((float *)array + i, value);
}

#define HY_X(op, args)                                                                                                 \
    void hy_ref_##op##_f32(const args##_args *a);                                                                      \
    void hy_ref_##op##_f64(const args##_args *a);                                                                      \
    void hy_ref_##op##_bf16(const args##_args *a);
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
