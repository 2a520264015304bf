/* Products of any mixture of element types and any size, in float: what libraries have no form for (a factor in bfloat16, the other in
 * float; no terms at all). A block computes 64×64 of C from slices of 16 terms in its memory, a thread 4×4. */
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

struct gemm_of {
    int64_t m, n, k;
    array a, b, c;
    int64_t a_row, a_term, b_term, b_col,
        ldc; /* steps between neighbours in A's rows and terms, B's terms and columns */
    float alpha, beta;
};

enum { GEMM_TILE = 64, GEMM_DEPTH = 16, GEMM_EACH = 4, GEMM_THREADS = 256 };

/* [GEMM_DEPTH][GEMM_TILE] of a factor, zeros beyond its ends. */
HY_DEVICE void load_slice(const array &x, int64_t row, int64_t rows, int64_t step, int64_t term, int64_t terms,
                          int64_t term_step, float *to) {
    for (int i = thread_index(); i < GEMM_DEPTH * GEMM_TILE; i += GEMM_THREADS) {
        /* lanes along whichever of the two is dense */
        const int r = term_step == 1 ? i / GEMM_DEPTH : i % GEMM_TILE,
                  p = term_step == 1 ? i % GEMM_DEPTH : i / GEMM_TILE;
        const bool inside = row + r < rows && term + p < terms;
        to[p * GEMM_TILE + r] = inside ? get(x, (row + r) * step + (term + p) * term_step) : 0.0f;
    }
}

HY_KERNEL(GEMM_THREADS, gemm_tiles_kernel)(const gemm_of a) {
    float *A = shared_at<float>(0), *B = A + GEMM_DEPTH * GEMM_TILE;
    const int i0 = thread_index() / 16 * GEMM_EACH, j0 = thread_index() % 16 * GEMM_EACH;
    const int64_t row = block_y() * GEMM_TILE, column = block_x() * GEMM_TILE;
    float sum[GEMM_EACH][GEMM_EACH] = {};
    for (int64_t p = 0; p < a.k; p += GEMM_DEPTH) {
        load_slice(a.a, row, a.m, a.a_row, p, a.k, a.a_term, A);
        load_slice(a.b, column, a.n, a.b_col, p, a.k, a.b_term, B);
        barrier();
        for (int d = 0; d < GEMM_DEPTH; d++) {
            HY_UNROLL
            for (int i = 0; i < GEMM_EACH; i++) {
                HY_UNROLL
                for (int j = 0; j < GEMM_EACH; j++)
                    sum[i][j] += A[d * GEMM_TILE + i0 + i] * B[d * GEMM_TILE + j0 + j];
            }
        }
        barrier();
    }
    HY_UNROLL
    for (int i = 0; i < GEMM_EACH; i++) {
        HY_UNROLL
        for (int j = 0; j < GEMM_EACH; j++) {
            const int64_t r = row + i0 + i, c = column + j0 + j;
            if (r < a.m && c < a.n)
                put(a.c, r * a.ldc + c, a.alpha * sum[i][j] + (a.beta != 0 ? a.beta * get(a.c, r * a.ldc + c) : 0.0f));
        }
    }
}

enum : int64_t { GEMM_ROWS_MAX = GEMM_TILE * GRID_YZ_MAX };

template <hy_dtype P> static void gemm_tiles(const hy_gemm_args *a) {
    gemm_of args = {a->m,
                    a->n,
                    a->k,
                    array_of<P>(a->a_role, a->a),
                    array_of<P>(a->b_role, a->b),
                    array_of<P>(a->c_role, a->c),
                    a->trans_a ? 1 : a->lda,
                    a->trans_a ? a->lda : 1,
                    a->trans_b ? 1 : a->ldb,
                    a->trans_b ? a->ldb : 1,
                    a->ldc,
                    (float)a->alpha,
                    (float)a->beta};
    for (int64_t row = 0; row < a->m; row += GEMM_ROWS_MAX) {
        args.m = a->m - row < GEMM_ROWS_MAX ? a->m - row : (int64_t)GEMM_ROWS_MAX;
        HY_LAUNCH(gemm_tiles_kernel, grid((a->n + GEMM_TILE - 1) / GEMM_TILE, (args.m + GEMM_TILE - 1) / GEMM_TILE),
                  GEMM_THREADS, 2 * GEMM_DEPTH * GEMM_TILE * sizeof(float), args);
        args.a = behind(args.a, GEMM_ROWS_MAX * args.a_row);
        args.c = behind(args.c, GEMM_ROWS_MAX * args.ldc);
    }
}

template <hy_dtype P> static void gemm_entries(hy_table *table) {
    table->gemm = gemm_tiles<P>;
}

void overlay_gemm(hy_table *table) {
    HY_OVERLAY(gemm_entries, table);
}

} // namespace HY_GPU
