/* Products of bf16 matrices on AMX tiles, sums in float: tiles of 16 rows of 64 bytes, of which four hold sums of 16 × 16 and two
 * and two the factors.
 *
 * The first factor lies in rows. The second lies in pairs of rows, [k/2,n,2]: elements (2i, c) and (2i + 1, c) beside each other,
 * as one dword; turning a matrix of such dwords turns rows into pairs of rows of its transpose. A thread loads the configuration
 * before its first product and releases it after its last. */
#ifndef HY_KERNELS_CPU_SIMD_AMX_H
#define HY_KERNELS_CPU_SIMD_AMX_H

#include "kernels/cpu/simd/mat.h"

typedef struct hy_half_mat {
    uint16_t *p;
    int64_t ld; /* elements; of pairs of rows: from one pair to the next */
} hy_half_mat;

/* Row, or pair of rows, and element of it. */
HY_INLINE hy_half_mat hy_half_at(hy_half_mat a, int64_t row, int64_t col) {
    return (hy_half_mat){a.p + row * a.ld + col, a.ld};
}

HY_INLINE int64_t hy_round32(int64_t n) {
    return (n + 31) & ~(int64_t)31;
}

typedef struct hy_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} hy_tile_config;

static inline void hy_tiles_begin(void) {
    hy_tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.bytes[i] = 64;
        c.rows[i] = 16;
    }
    _tile_loadconfig(&c);
}

static inline void hy_tiles_end(void) {
    _tile_release();
}

/* The compiler does not know what tile loads read. */
#define HY_TILES_READ __asm__ volatile("" ::: "memory")

/* C [16·rows,16·cols] (+)= A·B over k; rows, cols are 1 or 2 and, like add, constants at every call. */
HY_INLINE void hy_tiles_block(hy_mat c, hy_half_mat a, hy_half_mat b, int64_t k, int rows, int cols, int add) {
    const int64_t c_bytes = c.ld * 4, a_bytes = a.ld * 2, b_bytes = b.ld * 2;
    float *c1 = c.p + 16 * c.ld;
    if (add) {
        _tile_loadd(0, c.p, c_bytes);
        if (cols == 2)
            _tile_loadd(1, c.p + 16, c_bytes);
        if (rows == 2)
            _tile_loadd(2, c1, c_bytes);
        if (rows == 2 && cols == 2)
            _tile_loadd(3, c1 + 16, c_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t l = 0; l < k; l += 32) {
        const uint16_t *x = a.p + l, *y = b.p + l / 2 * b.ld;
        _tile_loadd(4, x, a_bytes);
        _tile_loadd(6, y, b_bytes);
        _tile_dpbf16ps(0, 4, 6);
        if (cols == 2) {
            _tile_loadd(7, y + 32, b_bytes);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (rows == 2) {
            _tile_loadd(5, x + 16 * a.ld, a_bytes);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (rows == 2 && cols == 2)
            _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c.p, c_bytes);
    if (cols == 2)
        _tile_stored(1, c.p + 16, c_bytes);
    if (rows == 2)
        _tile_stored(2, c1, c_bytes);
    if (rows == 2 && cols == 2)
        _tile_stored(3, c1 + 16, c_bytes);
}

HY_INLINE void hy_tiles_product(hy_mat c, hy_half_mat a, hy_half_mat b, hy_shape s, int add) {
    HY_TILES_READ;
    for (int64_t i = 0; i < s.m; i += 32)
        for (int64_t j = 0; j < s.n; j += 32) {
            const hy_mat to = hy_mat_at(c, i, j);
            const hy_half_mat x = {a.p + i * a.ld, a.ld}, y = {b.p + 2 * j, b.ld};
            if (s.m - i > 16 && s.n - j > 16)
                hy_tiles_block(to, x, y, s.k, 2, 2, add);
            else if (s.m - i > 16)
                hy_tiles_block(to, x, y, s.k, 2, 1, add);
            else if (s.n - j > 16)
                hy_tiles_block(to, x, y, s.k, 1, 2, add);
            else
                hy_tiles_block(to, x, y, s.k, 1, 1, add);
        }
    HY_TILES_READ;
}

/* C [m,n] = A [m,k] · B [k,n], or C += ...; m, n multiples of 16, k of 32. */
__attribute__((noinline, unused)) static void hy_tiles_set(hy_mat c, hy_half_mat a, hy_half_mat b, hy_shape s) {
    hy_tiles_product(c, a, b, s, 0);
}
__attribute__((noinline, unused)) static void hy_tiles_add(hy_mat c, hy_half_mat a, hy_half_mat b, hy_shape s) {
    hy_tiles_product(c, a, b, s, 1);
}

/* dst [rows,cols] from n_rows rows of n_cols elements, `stride` apart; the rest is 0. cols a multiple of 32. */
static inline void hy_half_read(hy_half_mat dst, const hy_bf16 *src, int64_t stride, int64_t rows, int64_t cols,
                                int64_t n_rows, int64_t n_cols) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j += 32) {
            const int64_t n = i < n_rows ? n_cols - j : 0;
            const __mmask32 some = n >= 32 ? ~(__mmask32)0 : n <= 0 ? 0 : ((__mmask32)1 << n) - 1;
            _mm512_storeu_si512(dst.p + i * dst.ld + j, _mm512_maskz_loadu_epi16(some, src + i * stride + j));
        }
}

HY_INLINE __m512i hy_pair_order(int high) {
    __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5,
                                     36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    return high ? _mm512_add_epi16(order, _mm512_set1_epi16(16)) : order;
}

/* Pairs of rows [rows/2,cols,2] of a matrix of rows; rows even, cols a multiple of 32. */
static inline void hy_half_pair(hy_half_mat dst, hy_half_mat src, int64_t rows, int64_t cols) {
    const __m512i low = hy_pair_order(0), high = hy_pair_order(1);
    for (int64_t i = 0; i < rows; i += 2)
        for (int64_t j = 0; j < cols; j += 32) {
            const __m512i x = _mm512_loadu_si512(src.p + i * src.ld + j);
            const __m512i y = _mm512_loadu_si512(src.p + (i + 1) * src.ld + j);
            uint16_t *to = dst.p + i / 2 * dst.ld + 2 * j;
            _mm512_storeu_si512(to, _mm512_permutex2var_epi16(x, low, y));
            _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(x, high, y));
        }
}

/* The dwords of src [rows,cols/2] turned: rows become pairs of rows of the transpose, pairs of rows the transpose's rows.
 * rows and dwords (of a row of src) multiples of 16. */
static inline void hy_half_turn(hy_half_mat dst, hy_half_mat src, int64_t rows, int64_t dwords) {
    hy_mat_transpose((hy_mat){(float *)(void *)dst.p, dst.ld / 2}, (hy_mat){(float *)(void *)src.p, src.ld / 2}, rows,
                     dwords);
}

/* Two rows of 16 floats as a pair of rows. */
HY_INLINE void hy_half_put_pair(uint16_t *to, hy_vec even, hy_vec odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even)));
}

/* 32 floats of a row. */
HY_INLINE void hy_half_put_row(uint16_t *to, hy_vec first, hy_vec second) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

/* 16 elements of a row as floats. */
HY_INLINE hy_vec hy_half_load(hy_half_mat at) {
    return hy_vec_load((const hy_bf16 *)(const void *)at.p);
}

/* Rows of floats, row i times f[i] (f NULL = 1), as rows and as pairs of rows; rows even, cols a multiple of 32. */
static inline void hy_half_rows_of(hy_half_mat dst, hy_mat src, const float *f, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows; i++) {
        const hy_vec x = hy_vec_set(f ? f[i] : 1);
        for (int64_t j = 0; j < cols; j += 32)
            hy_half_put_row(hy_half_at(dst, i, j).p, hy_vec_load(hy_mat_at(src, i, j).p) * x,
                            hy_vec_load(hy_mat_at(src, i, j + 16).p) * x);
    }
}

static inline void hy_half_pairs_of(hy_half_mat dst, hy_mat src, const float *f, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows; i += 2) {
        const hy_vec x = hy_vec_set(f ? f[i] : 1), y = hy_vec_set(f ? f[i + 1] : 1);
        for (int64_t j = 0; j < cols; j += 16)
            hy_half_put_pair(hy_half_at(dst, i / 2, 2 * j).p, hy_vec_load(hy_mat_at(src, i, j).p) * x,
                             hy_vec_load(hy_mat_at(src, i + 1, j).p) * y);
    }
}

#endif
