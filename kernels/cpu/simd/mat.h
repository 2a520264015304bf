/* Small matrix products in cache: C [m,n] = init + op(A)·B, row-major with leading dimensions; m a multiple of 16, n of
 * 16, k any. Elements of A are broadcast, so A may be read transposed at no cost; B is read in rows, so products with a
 * transposed B need the transpose made first (hy_mat_transpose). init: nothing, C, C with row i scaled by d[i], or C
 * with column j scaled by d[j]. Leading dimensions are odd multiples of 16 floats (hy_mat_ld): rows a power of two
 * apart would share cache sets. */
#ifndef HY_KERNELS_CPU_SIMD_MAT_H
#define HY_KERNELS_CPU_SIMD_MAT_H

#include "kernels/cpu/simd/ahead.h"

typedef struct hy_mat {
    float *p;
    int64_t ld;
} hy_mat;
typedef struct hy_shape {
    int64_t m, n, k;
} hy_shape;

enum hy_mat_init { HY_INIT_ZERO, HY_INIT_C, HY_INIT_ROWS, HY_INIT_COLS };

HY_INLINE int64_t hy_round16(int64_t n) {
    return (n + 15) & ~(int64_t)15;
}

HY_INLINE int64_t hy_mat_ld(int64_t cols) {
    return hy_round16(cols) | 16;
}

HY_INLINE hy_mat hy_mat_at(hy_mat a, int64_t row, int64_t col) {
    return (hy_mat){a.p + row * a.ld + col, a.ld};
}

/* C [m,n] = init(C0) + op(A)·B; C0 is C unless said otherwise. */
typedef struct hy_product {
    hy_mat c, c0, a, b;
    hy_shape s;
    const float *d;
} hy_product;

/* One block of `rows` × `cols` vectors at (i,j), in registers; rows, cols, init and trans are constants at every call.
 */
HY_INLINE void hy_mat_block(int rows, int cols, int init, int trans, const hy_product *t, int64_t i0, int64_t j0) {
    const float *a = trans ? t->a.p + i0 : t->a.p + i0 * t->a.ld, *b = t->b.p + j0;
    float *c = hy_mat_at(t->c, i0, j0).p;
    hy_vec acc[16][2];
    hy_ahead_step();
    HY_UNROLL
    for (int i = 0; i < rows; i++) {
        HY_UNROLL
        for (int j = 0; j < cols; j++) {
            acc[i][j] = init == HY_INIT_ZERO ? hy_vec_zero() : hy_vec_load(hy_mat_at(t->c0, i0 + i, j0).p + j * HY_VL);
            if (init == HY_INIT_ROWS)
                acc[i][j] *= hy_vec_set(t->d[i0 + i]);
            if (init == HY_INIT_COLS)
                acc[i][j] *= hy_vec_load(t->d + j0 + j * HY_VL);
        }
    }
    for (int64_t s = 0; s < t->s.k; s++) {
        hy_vec x[2];
        HY_UNROLL
        for (int j = 0; j < cols; j++)
            x[j] = hy_vec_load(b + s * t->b.ld + j * HY_VL);
        HY_UNROLL
        for (int i = 0; i < rows; i++) {
            hy_vec y = hy_vec_set(trans ? a[s * t->a.ld + i] : a[i * t->a.ld + s]);
            HY_UNROLL
            for (int j = 0; j < cols; j++)
                acc[i][j] += y * x[j];
        }
    }
    HY_UNROLL
    for (int i = 0; i < rows; i++) {
        HY_UNROLL
        for (int j = 0; j < cols; j++)
            hy_vec_store(c + i * t->c.ld + j * HY_VL, acc[i][j]);
    }
}

/* Accumulators: 16 of 32 registers, or 8 of 16. */
#if HY_ISA_avx512
#define HY_MAT_ROWS 8
#else
#define HY_MAT_ROWS 4
#endif

/* All of C: panels of two vectors, then one of a single vector if the width leaves it. */
HY_INLINE void hy_mat_product(int init, int trans, hy_product t) {
    int64_t j = 0;
    for (; j + 2 * HY_VL <= t.s.n; j += 2 * HY_VL)
        for (int64_t i = 0; i < t.s.m; i += HY_MAT_ROWS)
            hy_mat_block(HY_MAT_ROWS, 2, init, trans, &t, i, j);
    for (; j < t.s.n; j += HY_VL)
        for (int64_t i = 0; i < t.s.m; i += 2 * HY_MAT_ROWS)
            hy_mat_block(2 * HY_MAT_ROWS, 1, init, trans, &t, i, j);
}

#define HY_MAT_PRODUCT(name, init, trans)                                                                              \
    __attribute__((noinline, unused)) static void name(hy_mat c, hy_mat a, hy_mat b, hy_shape s, const float *d) {     \
        hy_mat_product(init, trans, (hy_product){c, c, a, b, s, d});                                                   \
    }

HY_MAT_PRODUCT(hy_mul_ab, HY_INIT_ZERO, 0)       /* C = A·B */
HY_MAT_PRODUCT(hy_mul_ab_add, HY_INIT_C, 0)      /* C += A·B */
HY_MAT_PRODUCT(hy_mul_ab_rows, HY_INIT_ROWS, 0)  /* C = diag(d)·C + A·B */
HY_MAT_PRODUCT(hy_mul_atb, HY_INIT_ZERO, 1)      /* C = Aᵀ·B */
HY_MAT_PRODUCT(hy_mul_atb_add, HY_INIT_C, 1)     /* C += Aᵀ·B */
HY_MAT_PRODUCT(hy_mul_atb_rows, HY_INIT_ROWS, 1) /* C = diag(d)·C + Aᵀ·B */
HY_MAT_PRODUCT(hy_mul_atb_cols, HY_INIT_COLS, 1) /* C = C·diag(d) + Aᵀ·B */

/* C = C0·diag(d) + Aᵀ·B */
__attribute__((noinline, unused)) static void hy_mul_atb_cols_from(hy_mat c, hy_mat c0, hy_mat a, hy_mat b, hy_shape s,
                                                                   const float *d) {
    hy_mat_product(HY_INIT_COLS, 1, (hy_product){c, c0, a, b, s, d});
}

#if HY_VL == 16
#define HY_LOW(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HY_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif HY_VL == 8
#define HY_LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HY_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define HY_LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HY_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* A square of HY_VL: log2(HY_VL) rounds, each interleaving row i with row i + HY_VL/2. */
HY_INLINE void hy_square_transpose(float *dst, int64_t dst_ld, const float *src, int64_t src_ld) {
    hy_vec a[HY_VL], b[HY_VL];
    HY_UNROLL
    for (int i = 0; i < HY_VL; i++)
        a[i] = hy_vec_load(src + i * src_ld);
    HY_UNROLL
    for (int round = 1; round < HY_VL; round *= 2) {
        HY_UNROLL
        for (int i = 0; i < HY_VL / 2; i++) {
            b[2 * i] = HY_LOW(a[i], a[i + HY_VL / 2]);
            b[2 * i + 1] = HY_HIGH(a[i], a[i + HY_VL / 2]);
        }
        HY_UNROLL
        for (int i = 0; i < HY_VL; i++)
            a[i] = b[i];
    }
    HY_UNROLL
    for (int i = 0; i < HY_VL; i++)
        hy_vec_store(dst + i * dst_ld, a[i]);
}

/* dst [cols,rows] = src [rows,cols]ᵀ; both multiples of 16. */
__attribute__((noinline, unused)) static void hy_mat_transpose(hy_mat dst, hy_mat src, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows; i += HY_VL)
        for (int64_t j = 0; j < cols; j += HY_VL)
            hy_square_transpose(hy_mat_at(dst, j, i).p, dst.ld, hy_mat_at(src, i, j).p, src.ld);
}

/* Between matrices and rows of either element type, `stride` elements apart.
 *   hy_mat_read(dst, src, stride, s, n_rows, n_cols)   dst [s.m,s.n] from n_rows rows of n_cols; the rest of dst is 0
 *   hy_mat_write(dst, stride, src, n_rows, n_cols)
 *   hy_mat_put(dst, stride, src, n_rows, n_cols, acc)  the same, or added to what is there */
#define hy_mat_read(dst, src, ...) HY_BY_ELEMENT_(src, hy_mat_read)(dst, src, __VA_ARGS__)
#define hy_mat_write(dst, ...)     HY_BY_ELEMENT_(dst, hy_mat_put)(dst, __VA_ARGS__, 0)
#define hy_mat_put(dst, ...)       HY_BY_ELEMENT_(dst, hy_mat_put)(dst, __VA_ARGS__)

#define HY_MAT_ROWS_OF(suffix, element)                                                                                \
    HY_INLINE void hy_mat_read_##suffix(hy_mat dst, const element *src, int64_t stride, hy_shape s, int64_t n_rows,    \
                                        int64_t n_cols) {                                                              \
        for (int64_t i = 0; i < s.m; i++) {                                                                            \
            int64_t j = 0, n = i < n_rows ? n_cols : 0;                                                                \
            float *to = dst.p + i * dst.ld;                                                                            \
            for (; j + HY_VL <= n; j += HY_VL)                                                                         \
                hy_vec_store(to + j, hy_vec_load(src + i * stride + j));                                               \
            if (j < n) {                                                                                               \
                hy_vec_store(to + j, hy_vec_load_tail(src + i * stride + j, n - j));                                   \
                j += HY_VL;                                                                                            \
            }                                                                                                          \
            for (; j < s.n; j += HY_VL)                                                                                \
                hy_vec_store(to + j, hy_vec_zero());                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    HY_INLINE void hy_mat_put_##suffix(element *dst, int64_t stride, hy_mat src, int64_t n_rows, int64_t n_cols,       \
                                       int acc) {                                                                      \
        for (int64_t i = 0; i < n_rows; i++, dst += stride) {                                                          \
            for (int64_t j = 0; j < n_cols; j += HY_VL) {                                                              \
                hy_vec x = hy_vec_load(src.p + i * src.ld + j);                                                        \
                if (acc)                                                                                               \
                    x = hy_vec_load_tail(dst + j, n_cols - j) + x;                                                     \
                hy_vec_store_tail(dst + j, x, n_cols - j);                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }
HY_MAT_ROWS_OF(f32, float)
HY_MAT_ROWS_OF(bf16, hy_bf16)

#endif
