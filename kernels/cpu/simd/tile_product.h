/* C (+)= A·B on tiles held in cache, the inner loop of attention. Rows of B and C are vectors of lanes; every element
 * of A is broadcast, so A is read where it lies, by rows (A[i,l] at a[i·lda + l]) or by columns (a[l·lda + i]).
 *
 * A block of HY_TILE_ROWS × HY_PANEL elements of C stays in registers while l runs: 24 accumulators of the 32 vector
 * registers of avx512, 12 of 16 elsewhere. B is stored in panels of HY_PANEL lanes, each [k, ldb]. */
#ifndef HY_KERNELS_CPU_SIMD_TILE_PRODUCT_H
#define HY_KERNELS_CPU_SIMD_TILE_PRODUCT_H

#include "kernels/cpu/simd/vec.h"

#define HY_TILE_ROWS 6
#if HY_ISA_avx512
#define HY_TILE_VECS 4
#else
#define HY_TILE_VECS 2
#endif
#define HY_PANEL (HY_TILE_VECS * HY_VL)

typedef enum hy_tile_start {
    HY_TILE_SET,      /* C = A·B */
    HY_TILE_ADD,      /* C = C + A·B */
    HY_TILE_SCALE_ADD /* C[i,j] = scale[j]·C[i,j] + (A·B)[i,j] */
} hy_tile_start;

typedef struct hy_tile_product {
    int64_t m, n, k; /* n: a multiple of HY_PANEL */
    const float *a;
    int64_t lda;
    const float *b;
    int64_t ldb, b_panel; /* b_panel: from one panel of B to the next */
    float *c;
    int64_t ldc;
    const float *scale; /* [n] */
} hy_tile_product;

/* One register block: `rows` ≤ HY_TILE_ROWS rows, one panel. */
HY_INLINE void hy_tile_block(const hy_tile_product *p, const int rows, const int by_column, const hy_tile_start start,
                             const float *a, const float *b, float *c, const float *scale) {
    hy_vec acc[HY_TILE_ROWS][HY_TILE_VECS];
    HY_UNROLL
    for (int i = 0; i < rows; i++) {
        HY_UNROLL
        for (int v = 0; v < HY_TILE_VECS; v++)
            acc[i][v] = hy_vec_zero();
    }
    const int64_t lda = p->lda, ldb = p->ldb, k = p->k;
    for (int64_t l = 0; l < k; l++) {
        hy_vec row[HY_TILE_VECS];
        HY_UNROLL
        for (int v = 0; v < HY_TILE_VECS; v++)
            row[v] = hy_vec_load(b + v * HY_VL);
        HY_UNROLL
        for (int i = 0; i < rows; i++) {
            hy_vec x = hy_vec_set(by_column ? a[i] : a[i * lda]);
            HY_UNROLL
            for (int v = 0; v < HY_TILE_VECS; v++)
                acc[i][v] += x * row[v];
        }
        b += ldb;
        a += by_column ? lda : 1;
    }
    HY_UNROLL
    for (int i = 0; i < rows; i++) {
        float *y = c + i * p->ldc;
        HY_UNROLL
        for (int v = 0; v < HY_TILE_VECS; v++) {
            if (start == HY_TILE_ADD)
                acc[i][v] += hy_vec_load(y + v * HY_VL);
            if (start == HY_TILE_SCALE_ADD)
                acc[i][v] += hy_vec_load(y + v * HY_VL) * hy_vec_load(scale + v * HY_VL);
            hy_vec_store(y + v * HY_VL, acc[i][v]);
        }
    }
}

HY_INLINE void hy_tile_rows(const hy_tile_product *p, const int rows, const int by_column, const hy_tile_start start,
                            int64_t i) {
    const float *a = p->a + (by_column ? i : i * p->lda);
    for (int64_t j = 0; j < p->n; j += HY_PANEL)
        hy_tile_block(p, rows, by_column, start, a, p->b + j / HY_PANEL * p->b_panel, p->c + i * p->ldc + j,
                      p->scale + j);
}

HY_INLINE void hy_tile_product_run(const hy_tile_product *p, const int by_column, const hy_tile_start start) {
    int64_t i = 0;
    for (; i + HY_TILE_ROWS <= p->m; i += HY_TILE_ROWS)
        hy_tile_rows(p, HY_TILE_ROWS, by_column, start, i);
    switch (p->m - i) {
    case 1:
        hy_tile_rows(p, 1, by_column, start, i);
        break;
    case 2:
        hy_tile_rows(p, 2, by_column, start, i);
        break;
    case 3:
        hy_tile_rows(p, 3, by_column, start, i);
        break;
    case 4:
        hy_tile_rows(p, 4, by_column, start, i);
        break;
    case 5:
        hy_tile_rows(p, 5, by_column, start, i);
        break;
    default:
        break;
    }
}

static __attribute__((noinline, unused)) void hy_tile_product_rows_set(const hy_tile_product *p) {
    hy_tile_product_run(p, 0, HY_TILE_SET);
}

static __attribute__((noinline, unused)) void hy_tile_product_rows_add(const hy_tile_product *p) {
    hy_tile_product_run(p, 0, HY_TILE_ADD);
}

static __attribute__((noinline, unused)) void hy_tile_product_columns_add(const hy_tile_product *p) {
    hy_tile_product_run(p, 1, HY_TILE_ADD);
}

static __attribute__((noinline, unused)) void hy_tile_product_columns_scale_add(const hy_tile_product *p) {
    hy_tile_product_run(p, 1, HY_TILE_SCALE_ADD);
}

#endif
