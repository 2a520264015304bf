/* The long convolutions of the table: channels in parts, as many at a time as have room. */
#include "kernels/cuda/long_conv.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

enum : int64_t { LONG_BYTES = 256 << 20, LONG_LINE = 64 }; /* of rows that are worked on at a time, about; alignment */

/* By C and T alone, so that shapes of transforms come again with other documents. */
static int64_t long_channels(int64_t C, int64_t T) {
    const int64_t most = LONG_BYTES / (40 * T + 4096);
    return most < 1 ? 1 : C < most ? C : most;
}

struct long_work {
    int64_t *first, *behind;
    far_work far;
    size_t bytes;
};

static void *long_take(long_work &w, void *base, int64_t bytes) {
    void *part = base != nullptr ? static_cast<char *>(base) + w.bytes : nullptr;
    w.bytes += (size_t)((bytes + LONG_LINE - 1) / LONG_LINE * LONG_LINE);
    return part;
}

/* No smaller for more channels, or longer documents, of as many tokens. */
static long_work long_work_of(const hy_long_conv_args *a) {
    level levels[LEVELS];
    const int n = long_levels(a->T, a->L, levels);
    const int64_t C = long_channels(a->C, a->T), size = (int64_t)sizeof(float);
    int64_t rows = 0, taps = 0, area = long_near_parts(a->T) * NEAR;
    for (int i = 0; i < n; i++) {
        const level &v = levels[i];
        const int64_t all = far_lags(a->T, a->L, v.block), here = v.blocks * v.stride,
                      lags = (all < LAGS_MAX ? all : (int64_t)LAGS_MAX) * v.stride;
        rows = here > rows ? here : rows;
        taps = lags > taps ? lags : taps;
    }
    area = rows > area ? rows : area;
    long_work w = {};
    w.first = static_cast<int64_t *>(long_take(w, a->work, a->T * (int64_t)sizeof(int64_t)));
    w.behind = static_cast<int64_t *>(long_take(w, a->work, a->T * (int64_t)sizeof(int64_t)));
    w.far.x = static_cast<float *>(long_take(w, a->work, C * rows * size));
    w.far.dy = static_cast<float *>(long_take(w, a->work, C * rows * size));
    w.far.dx = static_cast<float *>(long_take(w, a->work, C * rows * size));
    w.far.taps = static_cast<float *>(long_take(w, a->work, C * taps * size));
    w.far.sum = static_cast<float *>(long_take(w, a->work, n > 0 ? C * a->T * size : 0));
    w.far.area = static_cast<float *>(long_take(w, a->work, C * area * size));
    w.far.area_bytes = (size_t)(C * area * size);
    return w;
}

static size_t long_conv_work(const hy_long_conv_args *a) {
    hy_long_conv_args without = *a;
    without.work = nullptr;
    return long_work_of(&without).bytes;
}

/* For channels [c, c + l.C): call(l, c, work). */
template <class F> static void each_channels(const hy_long_conv_args *a, F call) {
    const long_work work = long_work_of(a);
    const docs_of docs = {a->T, a->n_docs, a->docs, work.first, work.behind};
    const int64_t most = long_channels(a->C, a->T);
    long_docs(docs);
    for (int64_t c = 0; c < a->C; c += most) {
        const lines l = {a->C - c < most ? a->C - c : most, a->T, a->L, work.first, work.behind};
        call(l, c, work.far);
    }
}

template <hy_dtype P> static array line_of(const void *at, const hy_long_conv_args *a, int64_t c) {
    return behind(array_of<P>(HY_ROLE_ACT, at), c * a->T);
}

template <hy_dtype P> static void long_conv_fwd(const hy_long_conv_args *a) {
    level levels[LEVELS];
    const int n = long_levels(a->T, a->L, levels);
    each_channels(a, [&](const lines &l, int64_t c, const far_work &work) {
        const float *h = static_cast<const float *>(a->h) + c * a->L;
        for (int i = 0; i < n; i++)
            long_far_fwd(l, levels[i], i == 0, line_of<P>(a->x, a, c), h, work);
        long_near(l, line_of<P>(a->x, a, c), h, n > 0 ? work.sum : nullptr, line_of<P>(a->y, a, c), false);
    });
}

template <hy_dtype P> static void long_conv_bwd(const hy_long_conv_args *a) {
    level levels[LEVELS];
    const int n = long_levels(a->T, a->L, levels);
    each_channels(a, [&](const lines &l, int64_t c, const far_work &work) {
        const array x = line_of<P>(a->x, a, c), dy = line_of<P>(a->dy, a, c);
        const float *h = static_cast<const float *>(a->h) + c * a->L;
        float *dh = static_cast<float *>(a->dh) + c * a->L;
        long_near_taps(l, x, dy, work.area, dh);
        for (int i = 0; i < n; i++)
            long_far_bwd(l, levels[i], i == 0, x, dy, h, dh, work);
        long_near(l, dy, h, n > 0 ? work.sum : nullptr, line_of<P>(a->dx, a, c), true);
    });
}

template <hy_dtype P> static void long_conv_entries(hy_table *table) {
    table->long_conv_fwd = long_conv_fwd<P>;
    table->long_conv_bwd = long_conv_bwd<P>;
    table->long_conv_work = long_conv_work;
}

void overlay_long_conv(hy_table *table) {
    HY_OVERLAY(long_conv_entries, table);
}

} // namespace HY_GPU
