/* Long convolutions: one level of pairs of blocks. Rows are filled, transformed by the library, multiplied, transformed back, added. */
#include "kernels/cuda/long_conv.cuh"
extern "C" {
#include "kernels/cuda/fft_rows.h"
}

namespace HY_GPU {

struct far_of {
    lines l;
    level v;
};

/* ---- documents: which tokens of a block, which blocks ---- */

/* Where the document of block i's last token begins, and where that of its first token ends. */
HY_DEVICE int64_t end_begins(const far_of &a, int64_t i) {
    const int64_t behind = (i + 1) << a.v.shift;
    return a.l.first[(behind < a.l.T ? behind : a.l.T) - 1];
}
HY_DEVICE int64_t begin_ends(const far_of &a, int64_t j) {
    return a.l.behind[j << a.v.shift];
}

/* Whether token t of the block has partners in blocks after it (`earlier`), or before it. */
HY_DEVICE bool far_pairs(const far_of &a, int64_t block, int64_t t, bool earlier) {
    return t < a.l.T && (earlier ? t >= end_begins(a, block) : t < begin_ends(a, block));
}

HY_DEVICE int64_t group_begin(const far_of &a, int64_t block) {
    return block / a.v.group * a.v.group;
}
HY_DEVICE int64_t group_last(const far_of &a, int64_t block) {
    const int64_t behind = group_begin(a, block) + a.v.group;
    return (behind < a.v.blocks ? behind : a.v.blocks) - 1;
}

/* The farthest block that `block` has partners in among earlier ones, or later ones; itself: none. */
HY_DEVICE int64_t far_reach(const far_of &a, int64_t block, bool earlier) {
    if (earlier) {
        const int64_t i = a.l.first[block << a.v.shift] >> a.v.shift, begin = group_begin(a, block);
        return i > begin ? i : begin;
    }
    const int64_t behind = (block + 1) << a.v.shift;
    const int64_t j = (a.l.behind[(behind < a.l.T ? behind : a.l.T) - 1] - 1) >> a.v.shift;
    const int64_t last = group_last(a, block);
    return j < last ? j : last;
}

/* ---- rows ---- */

struct fill_rows_of {
    far_of f;
    array x;
    float *rows;
    bool earlier;
};

HY_DEVICE void put_row_span(float *to, const float value[4]) {
    uint32_t bits[4];
    HY_UNROLL
    for (int j = 0; j < 4; j++)
        bits[j] = bits_of_float(value[j]);
    store16(to, bits);
}

/* For each four neighbouring points of the rows: call(row, its first point). */
template <class F> HY_DEVICE void each_row_span(const level &v, int64_t rows, F call) {
    each(rows << (v.shift - 1), [&](int64_t i) { call(i >> (v.shift - 1), (i & ((v.block >> 1) - 1)) * 4); });
}

static inline grid blocks_for_row_spans(const level &v, int64_t rows) {
    return blocks_for(rows << (v.shift - 1));
}

HY_KERNEL(EACH_THREADS, long_fill_rows_kernel)(const fill_rows_of a) {
    each_row_span(a.f.v, a.f.l.C * a.f.v.blocks, [&](int64_t row, int64_t p) {
        const int64_t c = row / a.f.v.blocks, block = row % a.f.v.blocks, t = (block << a.f.v.shift) + p;
        float value[4];
        HY_UNROLL
        for (int j = 0; j < 4; j++)
            value[j] =
                p < a.f.v.block && far_pairs(a.f, block, t + j, a.earlier) ? get(a.x, c * a.f.l.T + t + j) : 0.0f;
        put_row_span(a.rows + row * a.f.v.stride + p, value);
    });
}

struct fill_taps_of {
    far_of f;
    const float *h;
    float *rows;
};

/* Divided by the points: transforms are not. */
HY_KERNEL(EACH_THREADS, long_fill_taps_kernel)(const fill_taps_of a) {
    const int64_t b = a.f.v.block;
    const float scale = 0.5f / (float)b;
    each_row_span(a.f.v, a.f.l.C * a.f.v.lags, [&](int64_t row, int64_t p) {
        const int64_t c = row / a.f.v.lags, k = row % a.f.v.lags + 1;
        float value[4];
        HY_UNROLL
        for (int j = 0; j < 4; j++) {
            const int64_t lag = k * b + p + j - (p < b ? 0 : 2 * b);
            value[j] = lag < a.f.l.L ? scale * a.h[c * a.f.l.L + lag] : 0.0f;
        }
        put_row_span(a.rows + row * a.f.v.stride + p, value);
    });
}

struct add_rows_of {
    far_of f;
    const float *rows;
    float *sum;
    bool earlier, is_first;
};

HY_KERNEL(EACH_THREADS, long_add_rows_kernel)(const add_rows_of a) {
    each(a.f.l.C * a.f.l.T, [&](int64_t at) {
        const int64_t c = at / a.f.l.T, t = at % a.f.l.T, block = t >> a.f.v.shift;
        const float *row = a.rows + (c * a.f.v.blocks + block) * a.f.v.stride;
        const float value = far_pairs(a.f, block, t, a.earlier) ? row[t & (a.f.v.block - 1)] : 0.0f;
        a.sum[at] = a.is_first ? value : a.sum[at] + value;
    });
}

/* A lag lies in two rows, behind the lag of the one and before that of the next. */
struct add_taps_of {
    far_of f;
    const float *rows;
    float *dh;
};

HY_KERNEL(EACH_THREADS, long_add_taps_kernel)(const add_taps_of a) {
    const level &v = a.f.v;
    const float scale = 0.5f / (float)v.block;
    each(a.f.l.C * a.f.l.L, [&](int64_t at) {
        const int64_t c = at / a.f.l.L, lag = at % a.f.l.L, k = lag >> v.shift, rest = lag & (v.block - 1);
        const float *row = a.rows + (c * v.lags + k - 1) * v.stride;
        float sum = 0;
        if (k >= 1 && k <= v.lags)
            sum += row[rest];
        if (rest > 0 && k + 1 <= v.lags)
            sum += row[v.stride + v.block + rest];
        if (k <= v.lags)
            a.dh[at] += scale * sum;
    });
}

/* ---- products ---- */

enum { FAR_TILE = 8 }; /* blocks, or lags, of a thread */

struct complex {
    float re, im;
};

HY_DEVICE complex bin_of(const float *row, int64_t f) {
    uint32_t bits[2];
    load8(row + 2 * f, bits);
    return {float_of_bits(bits[0]), float_of_bits(bits[1])};
}
HY_DEVICE void put_bin(float *row, int64_t f, const complex &z) {
    const uint32_t bits[2] = {bits_of_float(z.re), bits_of_float(z.im)};
    store8(row + 2 * f, bits);
}

/* z += a·b, or a*·b. */
HY_DEVICE void add_product(complex &z, const complex &a, const complex &b, bool conjugate) {
    const float im = conjugate ? -a.im : a.im;
    z.re += a.re * b.re - im * b.im;
    z.im += a.re * b.im + im * b.re;
}

HY_DEVICE void shift_window(complex window[FAR_TILE], const complex &next) {
    HY_UNROLL
    for (int m = FAR_TILE - 1; m > 0; m--)
        window[m] = window[m - 1];
    window[0] = next;
}

HY_BOTH int64_t far_tiles(int64_t n) {
    return (n + FAR_TILE - 1) / FAR_TILE;
}

struct far_product_of {
    far_of f;
    const float *taps, *from;
    float *to;
    bool back; /* dx from dy, by conjugates */
};

/* Zero where no tap is. */
HY_DEVICE complex tap_bin(const far_product_of &a, int64_t c, int64_t k, int64_t bin) {
    const level &v = a.f.v;
    return k >= 1 && k <= v.lags ? bin_of(a.taps + (c * v.lags + k - 1) * v.stride, bin) : complex{0, 0};
}

/* One frequency of a tile of outputs: the rows they come from are read once each, the farthest first, and the taps between them and the
 * tile move on by one with each. For dx everything is mirrored. */
HY_DEVICE void far_product(const far_product_of &a, int64_t c, int64_t tile, int64_t bin) {
    const level &v = a.f.v;
    const int step = a.back ? -1 : 1;
    const int64_t low = tile * FAR_TILE, begin = a.back ? low + FAR_TILE - 1 : low;
    const int64_t bound = a.back ? group_begin(a.f, low) : group_last(a.f, low);
    const int64_t line = c * v.blocks;
    int64_t reach[FAR_TILE], far = begin;
    complex sum[FAR_TILE] = {}, window[FAR_TILE];
    HY_UNROLL
    for (int m = 0; m < FAR_TILE; m++) {
        const int64_t block = begin + step * m;
        reach[m] = block < v.blocks ? far_reach(a.f, block, !a.back) : block;
        far = step * (reach[m] - far) < 0 ? reach[m] : far;
    }
    HY_UNROLL
    for (int m = 0; m < FAR_TILE; m++)
        window[m] = tap_bin(a, c, step * (begin - far) + m, bin);
    for (int64_t n = far; step * (begin + step * (FAR_TILE - 2) - n) >= 0 && step * (bound - n) >= 0; n += step) {
        if (n < v.blocks) { /* a last tile may begin beyond */
            const complex x = bin_of(a.from + (line + n) * v.stride, bin);
            HY_UNROLL
            for (int m = 0; m < FAR_TILE; m++)
                if (step * (n - reach[m]) >= 0)
                    add_product(sum[m], window[m], x, a.back);
        }
        shift_window(window, tap_bin(a, c, step * (begin - n) - 1, bin));
    }
    HY_UNROLL
    for (int m = 0; m < FAR_TILE; m++)
        if (begin + step * m < v.blocks)
            put_bin(a.to + (line + begin + step * m) * v.stride, bin, sum[m]);
}

HY_KERNEL(EACH_THREADS, long_far_product_kernel)(const far_product_of a) {
    const int64_t bins = a.f.v.block + 1, tiles = far_tiles(a.f.v.blocks);
    each(a.f.l.C * tiles * bins, [&](int64_t i) { far_product(a, i / bins / tiles, i / bins % tiles, i % bins); });
}

/* Gradients of taps: sums over parts of a line. */
struct far_taps_of {
    far_of f;
    const float *x, *dy;
    float *partial, *taps; /* [C, parts, lags, stride], [C, lags, stride] */
    int64_t parts, part_blocks;
};

/* One frequency of a tile of lags: rows of dy are read once each, those of x that the lags point at move on by one with each. */
HY_DEVICE void far_taps(const far_taps_of &a, int64_t c, int64_t part, int64_t tile, int64_t bin) {
    const level &v = a.f.v;
    const int64_t line = c * v.blocks, from = part * a.part_blocks, k0 = tile * FAR_TILE + 1;
    complex sum[FAR_TILE] = {}, window[FAR_TILE];
    HY_UNROLL
    for (int m = 0; m < FAR_TILE; m++)
        window[m] = from - k0 - m >= 0 ? bin_of(a.x + (line + from - k0 - m) * v.stride, bin) : complex{0, 0};
    for (int64_t j = from; j < from + a.part_blocks && j < v.blocks; j++) {
        const int64_t pairs = j - far_reach(a.f, j, true);
        const complex dy = bin_of(a.dy + (line + j) * v.stride, bin);
        HY_UNROLL
        for (int m = 0; m < FAR_TILE; m++)
            if (k0 + m <= pairs)
                add_product(sum[m], window[m], dy, true);
        shift_window(window, j + 1 - k0 >= 0 ? bin_of(a.x + (line + j + 1 - k0) * v.stride, bin) : complex{0, 0});
    }
    HY_UNROLL
    for (int m = 0; m < FAR_TILE; m++)
        if (k0 + m <= v.lags)
            put_bin(a.partial + ((c * a.parts + part) * v.lags + k0 + m - 1) * v.stride, bin, sum[m]);
}

HY_KERNEL(EACH_THREADS, long_far_taps_kernel)(const far_taps_of a) {
    const int64_t bins = a.f.v.block + 1, tiles = far_tiles(a.f.v.lags);
    each(a.f.l.C * a.parts * tiles * bins, [&](int64_t i) {
        const int64_t row = i / bins / tiles;
        far_taps(a, row / a.parts, row % a.parts, i / bins % tiles, i % bins);
    });
}

HY_KERNEL(EACH_THREADS, long_far_taps_sum_kernel)(const far_taps_of a) {
    const level &v = a.f.v;
    const int64_t bins = v.block + 1;
    each(a.f.l.C * v.lags * bins, [&](int64_t i) {
        const int64_t c = i / bins / v.lags, k = i / bins % v.lags, bin = i % bins;
        complex sum = {0, 0};
        for (int64_t p = 0; p < a.parts; p++) {
            const complex one = bin_of(a.partial + ((c * a.parts + p) * v.lags + k) * v.stride, bin);
            sum.re += one.re, sum.im += one.im;
        }
        put_bin(a.taps + (c * v.lags + k) * v.stride, bin, sum);
    });
}

/* ---- a level ---- */

static void far_fft(const level &v, int64_t rows, float *at, bool inverse, const far_work &work) {
    const hy_fft_rows fft = {at, rows, 2 * v.block, v.stride, inverse, work.area, work.area_bytes};
#ifdef __CUDACC__
    hy_cuda_fft(&fft);
#else
    hy_cuda_host_fft(&fft);
#endif
}

static void fill_rows(const far_of &f, array x, bool earlier, float *rows, const far_work &work) {
    const fill_rows_of args = {f, x, rows, earlier};
    HY_LAUNCH(long_fill_rows_kernel, blocks_for_row_spans(f.v, f.l.C * f.v.blocks), EACH_THREADS, 0, args);
    far_fft(f.v, f.l.C * f.v.blocks, rows, false, work);
}

static void fill_taps(const far_of &f, const float *h, const far_work &work) {
    const fill_taps_of args = {f, h, work.taps};
    HY_LAUNCH(long_fill_taps_kernel, blocks_for_row_spans(f.v, f.l.C * f.v.lags), EACH_THREADS, 0, args);
    far_fft(f.v, f.l.C * f.v.lags, work.taps, false, work);
}

/* work.sum (+)= what comes to tokens of `to` from those of `from`. */
static void convolve_rows(const far_of &f, const float *from, bool back, bool is_first, float *to,
                          const far_work &work) {
    const far_product_of product = {f, work.taps, from, to, back};
    const add_rows_of add = {f, to, work.sum, back, is_first};
    HY_LAUNCH(long_far_product_kernel, blocks_for(f.l.C * far_tiles(f.v.blocks) * (f.v.block + 1)), EACH_THREADS, 0,
              product);
    far_fft(f.v, f.l.C * f.v.blocks, to, true, work);
    HY_LAUNCH(long_add_rows_kernel, blocks_for(f.l.C * f.l.T), EACH_THREADS, 0, add);
}

/* Parts have room in the area: at most blocks/lags of them. */
static void correlate_rows(const far_of &f, float *dh, const far_work &work) {
    enum : int64_t { PARTS_MAX = 64 };
    const level &v = f.v;
    const int64_t most = v.blocks / v.lags, parts = most < PARTS_MAX ? most : (int64_t)PARTS_MAX;
    const far_taps_of taps = {f, work.x, work.dy, work.area, work.taps, parts, (v.blocks + parts - 1) / parts};
    const add_taps_of add = {f, work.taps, dh};
    HY_LAUNCH(long_far_taps_kernel, blocks_for(f.l.C * parts * far_tiles(v.lags) * (v.block + 1)), EACH_THREADS, 0,
              taps);
    HY_LAUNCH(long_far_taps_sum_kernel, blocks_for(f.l.C * v.lags * (v.block + 1)), EACH_THREADS, 0, taps);
    far_fft(v, f.l.C * v.lags, work.taps, true, work);
    HY_LAUNCH(long_add_taps_kernel, blocks_for(f.l.C * f.l.L), EACH_THREADS, 0, add);
}

void long_far_fwd(const lines &l, const level &v, bool is_first, array x, const float *h, const far_work &work) {
    const far_of f = {l, v};
    fill_taps(f, h, work);
    fill_rows(f, x, true, work.x, work);
    convolve_rows(f, work.x, false, is_first, work.dx, work);
}

void long_far_bwd(const lines &l, const level &v, bool is_first, array x, array dy, const float *h, float *dh,
                  const far_work &work) {
    const far_of f = {l, v};
    fill_taps(f, h, work);
    fill_rows(f, x, true, work.x, work);
    fill_rows(f, dy, false, work.dy, work);
    convolve_rows(f, work.dy, true, is_first, work.dx, work);
    correlate_rows(f, dh, work);
}

} // namespace HY_GPU
