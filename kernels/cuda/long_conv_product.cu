/* Long convolutions: the products of one level, frequency by frequency, a thread per frequency and eight blocks or lags. */
#include "kernels/cuda/long_conv_far.cuh"

namespace HY_GPU {

/* ---- blocks ---- */

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

/* ---- complex numbers, the bins of a row ---- */

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

/* ---- y, dx ---- */

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

/* ---- dh ---- */

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

void long_far_product(const far_product_of &product) {
    const level &v = product.f.v;
    HY_LAUNCH(long_far_product_kernel, blocks_for(product.f.l.C * far_tiles(v.blocks) * (v.block + 1)), EACH_THREADS, 0,
              product);
}

void long_far_taps(const far_taps_of &taps) {
    const level &v = taps.f.v;
    HY_LAUNCH(long_far_taps_kernel, blocks_for(taps.f.l.C * taps.parts * far_tiles(v.lags) * (v.block + 1)),
              EACH_THREADS, 0, taps);
    HY_LAUNCH(long_far_taps_sum_kernel, blocks_for(taps.f.l.C * v.lags * (v.block + 1)), EACH_THREADS, 0, taps);
}

} // namespace HY_GPU
