/* Sums over rows, in an order that depends on the sizes alone: for every column c < columns, Σ_r terms.at(r, c), handed to
 * terms.finish(c, sum) once. Blocks of 32 columns sum parts of the rows; a second launch adds the parts up.
 *
 *   struct bias_terms { ...; HY_MEMBER float at(int64_t r, int64_t c) const; HY_MEMBER void finish(int64_t c, float sum) const; };
 *   column_sums(rows, columns, terms); */
#ifndef HY_KERNELS_CUDA_COLUMN_SUMS_CUH
#define HY_KERNELS_CUDA_COLUMN_SUMS_CUH

#include "kernels/cuda/array.cuh"

namespace HY_GPU {

enum : int64_t { SUM_WIDTH = 32, SUM_WARPS = 8, SUM_ROWS = 128, SUM_BLOCKS = 1024 }; /* SUM_ROWS: of a part, at least */

template <class F> struct column_sums_of {
    F terms;
    int64_t rows, columns, part_rows;
    float *partial; /* [parts, columns], NULL: one part, finished at once */
};

template <class F> HY_KERNEL(256, column_sums_kernel)(const column_sums_of<F> a) {
    float *sums = shared_at<float>(0); /* [SUM_WARPS][SUM_WIDTH] */
    const int64_t column = block_x() * SUM_WIDTH + lane_index();
    const int64_t begin = block_y() * a.part_rows;
    const int64_t end = begin + a.part_rows < a.rows ? begin + a.part_rows : a.rows;
    float sum = 0;
    if (column < a.columns)
        for (int64_t r = begin + warp_index(); r < end; r += SUM_WARPS)
            sum += a.terms.at(r, column);
    sums[thread_index()] = sum;
    barrier();
    if (warp_index() > 0 || column >= a.columns)
        return;
    for (int w = 1; w < SUM_WARPS; w++)
        sum += sums[w * SUM_WIDTH + lane_index()];
    if (a.partial != nullptr)
        a.partial[block_y() * a.columns + column] = sum;
    else
        a.terms.finish(column, sum);
}

template <class F> struct part_sums_of {
    F terms;
    int64_t parts, columns;
    const float *partial;
};

template <class F> HY_KERNEL(EACH_THREADS, part_sums_kernel)(const part_sums_of<F> a) {
    each(a.columns, [&](int64_t c) {
        float sum = 0;
        for (int64_t p = 0; p < a.parts; p++)
            sum += a.partial[p * a.columns + c];
        a.terms.finish(c, sum);
    });
}

/* `taken`: bytes of the workspace that the terms themselves read, a multiple of 4. */
template <class F> static void column_sums(int64_t rows, int64_t columns, const F &terms, size_t taken = 0) {
    const int64_t wide = (columns + SUM_WIDTH - 1) / SUM_WIDTH;
    if (columns == 0)
        return;
    int64_t parts = (rows + SUM_ROWS - 1) / SUM_ROWS;
    parts = parts < SUM_BLOCKS / wide ? parts : SUM_BLOCKS / wide;
    parts = parts > 1 ? parts : 1;
    const int64_t part_rows = (rows + parts - 1) / parts;
    float *partial = nullptr;
    if (parts > 1)
        partial = static_cast<float *>(workspace(taken + (size_t)(parts * columns) * sizeof(float), taken)) +
                  taken / sizeof(float);
    const column_sums_of<F> args = {terms, rows, columns, part_rows, partial};
    HY_LAUNCH(column_sums_kernel, grid(wide, parts), 256, SUM_WARPS * SUM_WIDTH * sizeof(float), args);
    if (parts > 1) {
        const part_sums_of<F> rest = {terms, parts, columns, partial};
        HY_LAUNCH(part_sums_kernel, blocks_for(columns), EACH_THREADS, 0, rest);
    }
}

} // namespace HY_GPU

#endif
