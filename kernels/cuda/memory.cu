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

enum : int64_t { OWNED = EACH_THREADS, LIST_BLOCKS = 256 };

/* Any list: OWNED neighbours of dst belong to one block of threads, the next to the next, so what is written twice is written in order. */
HY_KERNEL(EACH_THREADS, copy_list_kernel)(const copy_blocks_of a) {
    for (int64_t i = 0; i < a.n_blocks; i++) {
        const hy_block b = a.blocks[i];
        const int64_t width = b.cols * a.unit;
        for (int64_t r = warp_index(); r < b.rows; r += EACH_THREADS / 32) {
            const int64_t begin = (b.to + r * b.to_ld) * a.unit, first = begin / OWNED;
            for (int64_t own = first + ((block_x() - first) & (LIST_BLOCKS - 1)); own * OWNED < begin + width;
                 own += LIST_BLOCKS)
                for (int64_t to = own * OWNED + lane_index(); to < (own + 1) * OWNED; to += 32)
                    if (to >= begin && to < begin + width)
                        copy_element(a, b, r, to - begin);
        }
        barrier(); /* other warps write the same elements for the next */
    }
}

/* A list of one block, whose rows may be many and short. */
HY_KERNEL(EACH_THREADS, copy_block_kernel)(const copy_blocks_of a) {
    const int64_t cols = a.blocks[0].cols * a.unit;
    each(a.blocks[0].rows * cols, [&](int64_t i) { copy_element(a, a.blocks[0], i / cols, i % cols); });
}

/* Tiles of all blocks, one after the other, in turns; no two of them write the same. */
HY_KERNEL(EACH_THREADS, turn_list_kernel)(const copy_blocks_of a) {
    int64_t before = 0; /* tiles */
    for (int64_t i = 0; i < a.n_blocks; i++) {
        const hy_block b = a.blocks[i];
        const copy_of turn = {b.rows, b.cols, b.from_ld, b.to_ld, a.src, a.dst, a.acc};
        const int64_t across = (b.cols + TILE - 1) / TILE, tiles = (b.rows + TILE - 1) / TILE * across;
        for (int64_t t = (block_x() - before) & (LIST_BLOCKS - 1); t < tiles; t += LIST_BLOCKS)
            turn_tile(turn, b.from, b.to, t / across * TILE, t % across * TILE);
        before += tiles;
    }
}

/* The list lies on the device: sizes are not known here. */
template <hy_dtype P> static void copy_blocks(const hy_copy_blocks_args *a) {
    const copy_blocks_of args = {
        a->blocks, a->n_blocks, a->unit, array_of<P>(a->role, a->src), array_of<P>(a->role, a->dst), a->acc};
    const grid blocks(a->n_blocks > 0 ? (int64_t)LIST_BLOCKS : 0);
    if (a->turn)
        HY_LAUNCH(turn_list_kernel, blocks, EACH_THREADS, TILE * (TILE + 1) * sizeof(float), args);
    else if (a->n_blocks == 1)
        HY_LAUNCH(copy_block_kernel, grid(2 * LIST_BLOCKS), EACH_THREADS, 0, args);
    else
        HY_LAUNCH(copy_list_kernel, blocks, EACH_THREADS, 0, args);
}

/* ---- rows_add: blocks may share rows, so a thread owns elements of dst that are a grid apart ---- */

HY_KERNEL(EACH_THREADS, rows_add_kernel)(const hy_rows_add_args a) {
    const float *src = static_cast<const float *>(a.src);
    float *dst = static_cast<float *>(a.dst);
    const int64_t threads = grid_threads();
    for (int64_t b = 0; b < a.n_blocks; b++) {
        const int64_t to = a.blocks[b].to * a.cols, from = a.blocks[b].from * a.cols, n = a.blocks[b].n * a.cols;
        for (int64_t i = (grid_thread() - to % threads + threads) % threads; i < n; i += threads)
            dst[to + i] += src[from + i];
    }
}

static void rows_add(const hy_rows_add_args *a) {
    HY_LAUNCH(rows_add_kernel, blocks_for(a->n_blocks > 0 ? a->n * a->cols : 0), EACH_THREADS, 0, *a);
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
