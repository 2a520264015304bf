/* Long convolutions: where documents lie, and pairs of tokens inside one block of 128, a warp per block. */
#include "kernels/cuda/long_conv.cuh"
#include "kernels/cuda/rows.cuh"

namespace HY_GPU {

/* ---- documents ---- */

HY_KERNEL(EACH_THREADS, long_docs_kernel)(const docs_of a) {
    each(a.T, [&](int64_t t) {
        int64_t low = 0,
                high = a.n; /* the last document that begins at t or before it: others at its begin are empty */
        while (high - low > 1) {
            const int64_t middle = (low + high) / 2;
            (a.docs[middle] <= t ? low : high) = middle;
        }
        a.first[t] = a.docs[low];
        a.behind[t] = a.docs[low + 1];
    });
}

void long_docs(const docs_of &d) {
    HY_LAUNCH(long_docs_kernel, blocks_for(d.T), EACH_THREADS, 0, d);
}

/* ---- y, dx ---- */

enum { NEAR_EACH = NEAR / 32, NEAR_WARPS = EACH_THREADS / 32, NEAR_LINE = 2 * NEAR + 2 * NEAR / 32 };

struct near_of {
    lines l;
    int64_t blocks;
    array from, to;
    const float *h, *sum;
    bool back;
};

/* Neighbouring lanes read every fourth element: with one skipped in 32 they meet in no bank. */
HY_DEVICE int near_place(int i) {
    return i + (i >> 5);
}

/* Element i of a block in the order in which it is gone through. */
HY_DEVICE int64_t near_token(const near_of &a, int64_t begin, int i) {
    return a.back ? begin + NEAR - 1 - i : begin + i;
}

/* A lane has four neighbouring elements; the sources of tap d pass it by as d grows. Before the block there are zeros. */
HY_KERNEL(EACH_THREADS, long_near_kernel)(const near_of a) {
    float *h = shared_at<float>((size_t)warp_index() * (NEAR + NEAR_LINE) * sizeof(float)), *line = h + NEAR;
    const int i0 = lane_index() * NEAR_EACH;
    each_row(a.l.C * a.blocks, [&](int64_t row) {
        const int64_t c = row / a.blocks, begin = row % a.blocks * NEAR;
        float source[NEAR_EACH], sum[NEAR_EACH] = {};
        int taps[NEAR_EACH]; /* the last that stays in its document */
        warp_barrier();
        each_lane(NEAR, [&](int64_t i) {
            const int64_t t = near_token(a, begin, (int)i);
            h[i] = i < a.l.L ? a.h[c * a.l.L + i] : 0.0f;
            line[near_place((int)i)] = 0;
            line[near_place((int)(NEAR + i))] = t < a.l.T ? get(a.from, c * a.l.T + t) : 0.0f;
        });
        warp_barrier();
        HY_UNROLL
        for (int m = 0; m < NEAR_EACH; m++) {
            const int64_t t = near_token(a, begin, i0 + m);
            const int64_t last = t >= a.l.T ? -1 : a.back ? a.l.behind[t] - 1 - t : t - a.l.first[t];
            taps[m] = last < NEAR ? (int)last : (int)NEAR;
            source[m] = line[near_place(NEAR + i0 + m)];
        }
        for (int d = 0; d < NEAR && d < a.l.L; d++) {
            HY_UNROLL
            for (int m = 0; m < NEAR_EACH; m++)
                sum[m] += d <= taps[m] ? h[d] * source[m] : 0.0f;
            HY_UNROLL
            for (int m = NEAR_EACH - 1; m > 0; m--)
                source[m] = source[m - 1];
            source[0] = line[near_place(NEAR + i0 - 1 - d)];
        }
        HY_UNROLL
        for (int m = 0; m < NEAR_EACH; m++) {
            const int64_t t = near_token(a, begin, i0 + m), at = c * a.l.T + t;
            if (t < a.l.T)
                put(a.to, at, a.sum != nullptr ? a.sum[at] + sum[m] : sum[m]);
        }
    });
}

static int64_t near_blocks(int64_t T) {
    return (T + NEAR - 1) / NEAR;
}

void long_near(const lines &l, array from, const float *h, const float *sum, array to, bool back) {
    const near_of args = {l, near_blocks(l.T), from, to, h, sum, back};
    HY_LAUNCH(long_near_kernel, blocks_for_rows(l.C * args.blocks), EACH_THREADS,
              NEAR_WARPS * (NEAR + NEAR_LINE) * sizeof(float), args);
}

/* ---- dh ---- */

enum { NEAR_PARTS = 64, NEAR_TAPS_FLOATS = 4 * NEAR };

struct near_taps_of {
    lines l;
    int64_t blocks, parts, part_blocks;
    array x, dy;
    float *partial, *dh;
};

/* A warp per channel and part of its blocks; a lane has the taps lane, lane + 32, ... */
HY_KERNEL(EACH_THREADS, long_near_taps_kernel)(const near_taps_of a) {
    float *x = shared_at<float>((size_t)warp_index() * NEAR_TAPS_FLOATS * sizeof(float)), *dy = x + 2 * NEAR;
    int *taps = reinterpret_cast<int *>(dy + NEAR);
    each_row(a.l.C * a.parts, [&](int64_t row) {
        const int64_t c = row / a.parts, from = row % a.parts * a.part_blocks;
        float sum[NEAR_EACH] = {};
        for (int64_t block = from; block < from + a.part_blocks && block < a.blocks; block++) {
            warp_barrier();
            each_lane(NEAR, [&](int64_t i) {
                const int64_t t = block * NEAR + i, at = c * a.l.T + t;
                const bool inside = t < a.l.T;
                const int64_t last = inside ? t - a.l.first[t] : -1;
                x[i] = 0;
                x[NEAR + i] = inside ? get(a.x, at) : 0.0f;
                dy[i] = inside ? get(a.dy, at) : 0.0f;
                taps[i] = last < NEAR ? (int)last : (int)NEAR;
            });
            warp_barrier();
            for (int i = 0; i < NEAR && block * NEAR + i < a.l.T; i++) {
                HY_UNROLL
                for (int m = 0; m < NEAR_EACH; m++) {
                    const int d = lane_index() + 32 * m;
                    sum[m] += d <= taps[i] ? dy[i] * x[NEAR + i - d] : 0.0f;
                }
            }
        }
        HY_UNROLL
        for (int m = 0; m < NEAR_EACH; m++)
            a.partial[row * NEAR + lane_index() + 32 * m] = sum[m];
    });
}

HY_KERNEL(EACH_THREADS, long_near_taps_sum_kernel)(const near_taps_of a) {
    each(a.l.C * a.l.L, [&](int64_t at) {
        const int64_t c = at / a.l.L, lag = at % a.l.L;
        float sum = 0;
        for (int64_t p = 0; p < a.parts && lag < NEAR; p++)
            sum += a.partial[(c * a.parts + p) * NEAR + lag];
        a.dh[at] = sum;
    });
}

int64_t long_near_parts(int64_t T) {
    return near_blocks(T) < NEAR_PARTS ? near_blocks(T) : (int64_t)NEAR_PARTS;
}

void long_near_taps(const lines &l, array x, array dy, float *partial, float *dh) {
    near_taps_of args = {l, near_blocks(l.T), long_near_parts(l.T), 0, x, dy, partial, dh};
    args.part_blocks = args.parts > 0 ? (args.blocks + args.parts - 1) / args.parts : 0;
    HY_LAUNCH(long_near_taps_kernel, blocks_for_rows(l.C * args.parts), EACH_THREADS,
              NEAR_WARPS * NEAR_TAPS_FLOATS * sizeof(float), args);
    HY_LAUNCH(long_near_taps_sum_kernel, blocks_for(l.C * l.L), EACH_THREADS, 0, args);
}

} // namespace HY_GPU
