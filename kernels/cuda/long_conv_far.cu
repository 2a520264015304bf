/* Long convolutions: one level of pairs of blocks. Rows are filled, transformed by the library, multiplied, transformed back, added. */
#include "kernels/cuda/long_conv_far.cuh"
extern "C" {
#include "kernels/cuda/fft_rows.h"
}

namespace HY_GPU {

/* ---- rows ---- */

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
    long_far_product(product);
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
    long_far_taps(taps);
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
