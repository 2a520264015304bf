/* Gradients of what a key head's value heads share: dq, dk (da, db), [T,H,K]. The value heads of a group add to them, in
 * order. Where there are fewer key heads than threads a group is cut into parts, which run at the same time: the first
 * writes the gradients themselves, the others buffers that are added in order. In bf16 every part of a group of several
 * heads has a buffer of floats, so that a gradient is rounded once, when it is complete. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_SUMS_H
#define HY_KERNELS_CPU_SIMD_RECUR_SUMS_H

#include <omp.h>

#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/isa.h"
#include "kernels/cpu/simd/vec.h"

#define HY_KEY_ARRAYS 4 /* at most */

typedef struct hy_key_sums {
    int64_t arrays, parts, first; /* parts below `first` write the gradients themselves */
    int64_t size;                 /* T·H·K */
    float *buffers;               /* [parts − first,arrays,T,H,K] */
} hy_key_sums;

/* One gradient as a part sees it: `sums` if not NULL, else `rows`. */
typedef struct hy_key_rows {
    hy_elem *rows;
    float *sums;
} hy_key_rows;

HY_INLINE int64_t hy_key_group(const hy_recur_args *a) {
    return a->H ? a->HV / a->H : 1;
}

/* Parts of a group that run at the same time. */
HY_INLINE int64_t hy_key_parts(const hy_recur_args *a) {
    int64_t threads = omp_get_max_threads(), group = hy_key_group(a);
    int64_t parts = a->H ? (threads + a->H - 1) / a->H : 1;
    return parts < 1 ? 1 : parts > group ? group : parts;
}

HY_INLINE hy_key_sums hy_key_sums_make(const hy_recur_args *a, int64_t arrays, int64_t parts, float *buffers) {
    const int64_t first = HY_BF16_ACTS && hy_key_group(a) > 1 ? 0 : 1;
    return (hy_key_sums){arrays, parts, first, a->T * a->H * a->K, buffers};
}

HY_INLINE int64_t hy_key_sums_floats(hy_key_sums s) {
    return (s.parts - s.first) * s.arrays * s.size;
}

/* Gradient number `which`, whose array is `array`. */
HY_INLINE hy_key_rows hy_key_rows_of(hy_key_sums s, int64_t part, int64_t which, void *array) {
    if (part < s.first)
        return (hy_key_rows){array, NULL};
    return (hy_key_rows){NULL, s.buffers + ((part - s.first) * s.arrays + which) * s.size};
}

/* n lanes at element `at`: written, or added to what is there. */
HY_INLINE void hy_key_rows_put(hy_key_rows to, int64_t at, hy_vec x, int64_t n, int acc) {
    if (to.sums)
        hy_vec_store_tail(to.sums + at, acc ? x + hy_vec_load_tail(to.sums + at, n) : x, n);
    else
        hy_vec_store_tail(to.rows + at, acc ? x + hy_vec_load_tail(to.rows + at, n) : x, n);
}

/* All parts have run: the gradients become whole, at the tokens of all runs. */
HY_INLINE void hy_key_sums_finish(hy_key_sums s, const hy_recur_args *a, void *const arrays[HY_KEY_ARRAYS]) {
    const int64_t row = a->H * a->K;
    for (int64_t r = 0; s.parts > s.first && r < a->n_runs; r++) {
        const int64_t begin = a->runs[r].begin * row, end = begin + a->runs[r].len * row;
#pragma omp parallel
        {
            HY_FLUSH_SUBNORMALS;
#pragma omp for
            for (int64_t i = begin; i < end; i++)
                for (int64_t which = 0; which < s.arrays; which++) {
                    hy_elem *to = (hy_elem *)arrays[which] + i;
                    float sum = s.first > 0 ? hy_elem_get(to) : 0;
                    for (int64_t p = 0; p < s.parts - s.first; p++)
                        sum += s.buffers[(p * s.arrays + which) * s.size + i];
                    hy_elem_put(to, sum);
                }
        }
    }
}

#endif
