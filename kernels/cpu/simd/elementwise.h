/* What the memory-bound operations of one instruction set share. Work is split into contiguous ranges, one per thread,
 * by position alone: results depend at most on the number of threads, never on timing. A loop body takes the number of
 * elements it may touch, HY_VL inside the loop and fewer at the end. */
#ifndef HY_KERNELS_CPU_SIMD_ELEMENTWISE_H
#define HY_KERNELS_CPU_SIMD_ELEMENTWISE_H

#include <omp.h>

#include "kernels/cpu/simd/isa.h"
#include "kernels/cpu/simd/vec.h"

#define HY_X(op, args) void HY_ISA_NAME(hy_fast_##op)(const args##_args *a);
HY_OPS(HY_X)
#undef HY_X

/* Elements under which starting threads costs more than it saves. */
#define HY_PARALLEL_MIN 32768

typedef struct hy_range {
    int64_t begin, end;
} hy_range;

/* This thread's part of 0 .. n − 1, in pieces of `grain`. Call inside a parallel region. */
HY_INLINE hy_range hy_thread_range(int64_t n, int64_t grain) {
    int64_t pieces = (n + grain - 1) / grain, thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t begin = pieces * thread / threads * grain, end = pieces * (thread + 1) / threads * grain;
    return (hy_range){begin, end < n ? end : n};
}

/* STEP(i, count) for i = range.begin, ... in steps of HY_VL. */
#define HY_FOR_VECS(i, range, STEP)                                                                                    \
    do {                                                                                                               \
        int64_t i = (range).begin;                                                                                     \
        for (; i + HY_VL <= (range).end; i += HY_VL)                                                                   \
            STEP(i, HY_VL);                                                                                            \
        if (i < (range).end)                                                                                           \
            STEP(i, (range).end - i);                                                                                  \
    } while (0)

/* y (+)= v for the first n lanes. */
#define hy_vec_put(y, v, n, acc) HY_BY_ELEMENT_(y, hy_vec_put)(y, v, n, acc)

HY_INLINE void hy_vec_put_f32(float *y, hy_vec v, int64_t n, int acc) {
    hy_vec_store_tail_f32(y, acc ? v + hy_vec_load_tail_f32(y, n) : v, n);
}

HY_INLINE void hy_vec_put_bf16(hy_bf16 *y, hy_vec v, int64_t n, int acc) {
    hy_vec_store_tail_bf16(y, acc ? v + hy_vec_load_tail_bf16(y, n) : v, n);
}

/* Arrays whose role the arguments tell: elements i .. i + n − 1 of `array`. A float32 table does not look at the role. */
HY_INLINE int hy_role_is_elem(hy_role role) {
    return HY_BF16_ACTS && role < HY_ROLE_STAT;
}

HY_INLINE hy_vec hy_role_load(hy_role role, const void *array, int64_t i, int64_t n) {
    return hy_role_is_elem(role) ? hy_vec_load_tail((const hy_elem *)array + i, n)
                                 : hy_vec_load_tail((const float *)array + i, n);
}

HY_INLINE void hy_role_put(hy_role role, void *array, int64_t i, hy_vec v, int64_t n, int acc) {
    if (hy_role_is_elem(role))
        hy_vec_put((hy_elem *)array + i, v, n, acc);
    else
        hy_vec_put((float *)array + i, v, n, acc);
}

/* One of them. */
HY_INLINE float hy_role_get(hy_role role, const void *array, int64_t i) {
    return hy_role_is_elem(role) ? hy_elem_get((const hy_elem *)array + i) : ((const float *)array)[i];
}

HY_INLINE void hy_role_set(hy_role role, void *array, int64_t i, float x) {
    if (hy_role_is_elem(role))
        hy_elem_put((hy_elem *)array + i, x);
    else
        ((float *)array)[i] = x;
}

#endif
