/* Copies: rows with leading dimensions, matrices turned, lists of blocks, rows added, heads repeated. */
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* ---- copy2d, transpose ---- */

struct copy_of {
    int64_t rows, cols, src_ld, dst_ld;
    array src, dst;
    int acc;
};

/* A warp per row and turn, lanes along it. */
HY_KERNEL(EACH_THREADS, copy2d_kernel)(const copy_of a) {
    const int64_t warps = grid_threads() / 32;
    for (int64_t r = grid_thread() / 32; r < a.rows; r += warps) {
        for (int64_t c = lane_index() * SPAN; c < a.cols; c += 32 * SPAN) {
            float x[SPAN];
            const int n = a.cols - c < SPAN ? (int)(a.cols - c) : (int)SPAN;
            get_span(a.src, r * a.src_ld + c, n, x);
            put_span_or_add(a.dst, r * a.dst_ld + c, n, x, a.acc);
        }
    }
}

template <hy_dtype P> static void copy2d(const hy_copy2d_args *a) {
    const copy_of args = {
        a->rows, a->cols, a->src_ld, a->dst_ld, array_of<P>(a->from, a->src), array_of<P>(a->to, a->dst), a->acc};
    HY_LAUNCH(copy2d_kernel, blocks_for(a->cols > 0 ? 32 * a->rows : 0), EACH_THREADS, 0, args);
}

enum { TILE = 32 };

/* Turns one tile through the block's memory: 256 threads, 32 lanes along src's rows, then along dst's. */
HY_DEVICE void turn_tile(const copy_of &a, int64_t src, int64_t dst, int64_t r0, int64_t c0) {
    float *tile = shared_at<float>(0); /* [TILE][TILE + 1] */
    const int lane = lane_index();
    for (int i = warp_index(); i < TILE; i += EACH_THREADS / 32)
        if (r0 + i < a.rows && c0 + lane < a.cols)
            tile[i * (TILE + 1) + lane] = get(a.src, src + (r0 + i) * a.src_ld + c0 + lane);
    barrier();
    for (int i = warp_index(); i < TILE; i += EACH_THREADS / 32)
        if (c0 + i < a.cols && r0 + lane < a.rows)
            put_or_add(a.dst, dst + (c0 + i) * a.dst_ld + r0 + lane, tile[lane * (TILE + 1) + i], a.acc);
    barrier();
}

HY_KERNEL(EACH_THREADS, transpose_kernel)(const copy_of a) {
    const int64_t across = (a.cols + TILE - 1) / TILE, tiles = (a.rows + TILE - 1) / TILE * across;
    for (int64_t t = block_x(); t < tiles; t += grid_x())
        turn_tile(a, 0, 0, t / across * TILE, t % across * TILE);
}

static grid blocks_for_tiles(int64_t rows, int64_t cols) {
    const int64_t tiles = (rows + TILE - 1) / TILE * ((cols + TILE - 1) / TILE);
    return grid(tiles < 4 * EACH_BLOCKS ? tiles : 4 * (int64_t)EACH_BLOCKS);
}

template <hy_dtype P> static void transpose(const hy_transpose_args *a) {
    const copy_of args = {
        a->rows, a->cols, a->src_ld, a->dst_ld, array_of<P>(HY_ROLE_ACT, a->src), array_of<P>(HY_ROLE_ACT, a->dst),
        a->acc};
    HY_LAUNCH(transpose_kernel, blocks_for_tiles(a->rows, a->cols), EACH_THREADS, TILE * (TILE + 1) * sizeof(float),
              args);
}

/* ---- copy_blocks: what two blocks of a list write both, they write in the list's order ---- */

struct copy_blocks_of {
    const hy_block *blocks;
    int64_t n_blocks, unit;
    array src, dst;
    int acc;
};

HY_DEVICE void copy_element(const copy_blocks_of &a, const hy_block &b, int64_t r, int64_t c) {
    const int64_t to = (b.to + r * b.to_ld) * a.unit + c;
    if (b.from < 0)
        put(a.dst, to, 0.0f);
    else
        put_or_add(a.dst, to, get(a.src, (b.from + r * b.from_ld) * a.unit + c), a.acc);
}

/* Wide units: a thread owns one element of every unit, and walks the list. */
HY_KERNEL(EACH_THREADS, copy_units_kernel)(const copy_blocks_of a) {
    each(a.unit, [&](int64_t c) {
        for (int64_t i = 0; i < a.n_blocks; i++)
            for (int64_t r = 0; r < a.blocks[i].rows; r++)
                for (int64_t col = 0; col < a.blocks[i].cols; col++)
                    copy_element(a, a.blocks[i], r, col * a.unit + c);
    });
}

/* One block of the list. */
HY_KERNEL(EACH_THREADS, copy_block_kernel)(const copy_blocks_of a) {
    const int64_t cols = a.blocks[0].cols * a.unit;
    each(a.blocks[0].rows * cols, [&](int64_t i) { copy_element(a, a.blocks[0], i / cols, i % cols); });
}

HY_KERNEL(EACH_THREADS, turn_block_kernel)(const copy_blocks_of a) {
    const hy_block &b = a.blocks[0];
    const copy_of turn = {b.rows, b.cols, b.from_ld, b.to_ld, a.src, a.dst, a.acc};
    const int64_t across = (b.cols + TILE - 1) / TILE, tiles = (b.rows + TILE - 1) / TILE * across;
    for (int64_t t = block_x(); t < tiles; t += grid_x())
        turn_tile(turn, b.from, b.to, t / across * TILE, t % across * TILE);
}

enum { WIDE_UNIT = 32, BLOCK_GRID = 512 };

/* The list lies on the device: sizes are not known here. */
template <hy_dtype P> static void copy_blocks(const hy_copy_blocks_args *a) {
    copy_blocks_of args = {a->blocks, a->n_blocks, a->unit, array_of<P>(a->role, a->src), array_of<P>(a->role, a->dst),
                           a->acc};
    if (!a->turn && a->unit >= WIDE_UNIT && a->n_blocks > 1) {
        HY_LAUNCH(copy_units_kernel, blocks_for(a->unit), EACH_THREADS, 0, args);
        return;
    }
    for (int64_t i = 0; i < a->n_blocks; i++, args.blocks++) {
        if (a->turn)
            HY_LAUNCH(turn_block_kernel, grid(BLOCK_GRID), EACH_THREADS, TILE * (TILE + 1) * sizeof(float), args);
        else
            HY_LAUNCH(copy_block_kernel, grid(BLOCK_GRID), EACH_THREADS, 0, args);
    }
}

/* ---- rows_add: blocks may share rows, so a thread owns a column of all rows ---- */

HY_KERNEL(EACH_THREADS, rows_add_kernel)(const hy_rows_add_args a) {
    const float *src = static_cast<const float *>(a.src);
    float *dst = static_cast<float *>(a.dst);
    each(a.cols, [&](int64_t c) {
        for (int64_t b = 0; b < a.n_blocks; b++)
            for (int64_t i = 0; i < a.blocks[b].n; i++)
                dst[(a.blocks[b].to + i) * a.cols + c] += src[(a.blocks[b].from + i) * a.cols + c];
    });
}

/* One block: its rows are its own. */
HY_KERNEL(EACH_THREADS, row_block_add_kernel)(const hy_rows_add_args a) {
    const float *src = static_cast<const float *>(a.src) + a.blocks[0].from * a.cols;
    float *dst = static_cast<float *>(a.dst) + a.blocks[0].to * a.cols;
    each(a.blocks[0].n * a.cols, [&](int64_t i) { dst[i] += src[i]; });
}

enum { FEW_ROW_BLOCKS = 64 };

static void rows_add(const hy_rows_add_args *a) {
    hy_rows_add_args one = *a;
    if (a->n_blocks > FEW_ROW_BLOCKS) {
        HY_LAUNCH(rows_add_kernel, blocks_for(a->cols), EACH_THREADS, 0, *a);
        return;
    }
    for (int64_t b = 0; b < a->n_blocks; b++, one.blocks++)
        HY_LAUNCH(row_block_add_kernel, blocks_for(a->n * a->cols), EACH_THREADS, 0, one);
}

/* ---- repeat ---- */

struct repeat_of {
    int64_t n, repeat, cols; /* n: of the side that is written */
    array in, out;
    int acc;
};

HY_KERNEL(EACH_THREADS, repeat_fwd_kernel)(const repeat_of a) {
    each(a.n, [&](int64_t i) { put(a.out, i, get(a.in, i / (a.repeat * a.cols) * a.cols + i % a.cols)); });
}

HY_KERNEL(EACH_THREADS, repeat_bwd_kernel)(const repeat_of a) {
    each(a.n, [&](int64_t i) {
        const int64_t from = i / a.cols * a.repeat * a.cols + i % a.cols;
        float sum = a.acc ? get(a.out, i) : 0.0f;
        for (int64_t j = 0; j < a.repeat; j++)
            sum += get(a.in, from + j * a.cols);
        put(a.out, i, sum);
    });
}

template <hy_dtype P> static void repeat_fwd(const hy_repeat_args *a) {
    const repeat_of args = {a->rows * a->repeat * a->cols, a->repeat, a->cols, array_of<P>(a->from, a->x),
                            array_of<P>(a->to, a->y),      0};
    HY_LAUNCH(repeat_fwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void repeat_bwd(const hy_repeat_args *a) {
    const repeat_of args = {a->rows * a->cols,           a->repeat, a->cols, array_of<P>(a->to, a->dy),
                            array_of<P>(a->from, a->dx), a->acc};
    HY_LAUNCH(repeat_bwd_kernel, blocks_for(args.n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void memory_entries(hy_table *table) {
    table->copy2d = copy2d<P>;
    table->transpose = transpose<P>;
    table->copy_blocks = copy_blocks<P>;
    table->rows_add = rows_add;
    table->repeat_fwd = repeat_fwd<P>;
    table->repeat_bwd = repeat_bwd<P>;
}

void overlay_memory(hy_table *table) {
    HY_OVERLAY(memory_entries, table);
}

} // namespace HY_GPU
