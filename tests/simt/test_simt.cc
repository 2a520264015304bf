/* The interpreter itself: warp operations, tensor core fragments and asynchronous copies against plain loops, on fresh random numbers in every
 * order of lanes; and what must not pass: a kernel without one of its barriers, waits, warp barriers, or with an access beyond its memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cuda/prim_launch.cuh"
#include "kernels/cuda/prim_tile.cuh"

using namespace HY_GPU;

static uint64_t random_state;

static float random_float() {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(random_state >> 32)) / 2147483648.0f;
}
static uint16_t random_bf16() {
    return bf16_bits(random_float());
}

static const char *const orders[] = {"forward", "reverse", "shuffle"};
enum { ORDERS = 3 };

static void choose_order(int order) {
    setenv("HYLAS_SIMT_ORDER", orders[order], 1);
}

/* ---- warp operations ---- */

struct warp_case {
    const float *x;                  /* [96] */
    float *sum, *max, *other, *back; /* [96] */
    uint32_t *votes;                 /* [96] */
};

HY_KERNEL(96, warp_kernel)(const warp_case a) {
    const int i = thread_index();
    a.sum[i] = warp_sum(a.x[i]);
    a.max[i] = warp_max(a.x[i]);
    a.other[i] = shuffle_xor(a.x[i], 5) + shuffle(a.x[i], 3);
    a.back[i] = shuffle_up(a.x[i], 2) - shuffle_down(a.x[i], 7);
    a.votes[i] = ballot(a.x[i] > 0);
    if (lane_index() < 9)
        a.votes[i] ^= ballot(a.x[i] > 0.5f, 0x1ffu) << 9;
}

static void test_warp_operations(void **) {
    for (int order = 0; order < ORDERS; order++) {
        float x[96], sum[96], max[96], other[96], back[96];
        uint32_t votes[96];
        for (float &each : x)
            each = random_float();
        choose_order(order);
        const warp_case args = {x, sum, max, other, back, votes};
        HY_LAUNCH(warp_kernel, grid(1), 96, 0, args);
        for (int w = 0; w < 96; w += 32) {
            double want = 0;
            float top = x[w];
            uint32_t positive = 0, large = 0;
            for (int i = 0; i < 32; i++) {
                want += x[w + i];
                top = x[w + i] > top ? x[w + i] : top;
                positive |= (uint32_t)(x[w + i] > 0) << i;
                large |= (uint32_t)(i < 9 && x[w + i] > 0.5f) << i;
            }
            for (int i = 0; i < 32; i++) {
                assert_true(fabs(sum[w + i] - want) < 1e-5 && sum[w + i] == sum[w]);
                assert_true(max[w + i] == top);
                assert_true(other[w + i] == x[w + (i ^ 5)] + x[w + 3]);
                assert_true(back[w + i] == x[w + (i >= 2 ? i - 2 : i)] - x[w + (i + 7 < 32 ? i + 7 : i)]);
                assert_int_equal(votes[w + i], positive ^ (i < 9 ? large << 9 : 0));
            }
        }
    }
}

/* ---- tensor cores: C[16][8] = A·B from memory of the block, A and B by tile_load4 in all their forms ---- */

struct tile_case {
    const uint16_t *a; /* [16][16] */
    const uint16_t *b; /* [16][16], k n */
    float *c;          /* [16][16] */
    uint16_t *turned;  /* [8][8]: the first of A's, turned */
    int by_rows;       /* B lies as [n][k] */
};

enum { TILE_LD = 24 }; /* elements: rows are 48 bytes */

HY_KERNEL(32, tile_kernel)(const tile_case a) {
    uint16_t *A = shared_at<uint16_t>(0), *B = A + 16 * TILE_LD;
    const int L = lane_index();
    for (int i = L; i < 32; i += 32) {
        copy_async(A + i / 2 * TILE_LD + i % 2 * 8, a.a + i * 8);
        copy_async(B + i / 2 * TILE_LD + i % 2 * 8, a.b + i * 8);
    }
    copy_commit();
    copy_wait<0>();
    warp_barrier();
    uint32_t fa[4], fb[4];
    float c[2][4] = {};
    tile_load4(fa, A + (L & 15) * TILE_LD + 8 * (L >> 4));
    if (a.by_rows)
        tile_load4(fb, B + ((L & 7) + 8 * (L >> 4)) * TILE_LD + 8 * (L >> 3 & 1));
    else
        tile_load4_turned(fb, B + ((L & 7) + 8 * (L >> 3 & 1)) * TILE_LD + 8 * (L >> 4));
    for (int n = 0; n < 2; n++) {
        mma_bf16(c[n], fa, fb + 2 * n);
        for (int i = 0; i < 4; i++)
            a.c[((L >> 2) + 8 * (i >> 1)) * 16 + 8 * n + 2 * (L & 3) + (i & 1)] = c[n][i];
    }
    const uint32_t pair = tile_turn(fa[0]);
    memcpy(a.turned + (L >> 2) * 8 + 2 * (L & 3), &pair, 4);
}

static void test_bf16_tiles(void **) {
    for (int mode = 0; mode < 2 * ORDERS; mode++) {
        alignas(16) uint16_t a[256], b[256];
        uint16_t turned[64];
        float c[256];
        for (int i = 0; i < 256; i++)
            a[i] = random_bf16(), b[i] = random_bf16();
        choose_order(mode / 2);
        const tile_case args = {a, b, c, turned, mode % 2};
        HY_LAUNCH(tile_kernel, grid(1), 32, 2 * 16 * TILE_LD * 2, args);
        for (int i = 0; i < 16; i++) {
            for (int j = 0; j < 16; j++) {
                double want = 0;
                for (int k = 0; k < 16; k++)
                    want += (double)hy_bf16_to_float(a[16 * i + k]) *
                            hy_bf16_to_float(mode % 2 ? b[16 * j + k] : b[16 * k + j]);
                assert_true(fabs(c[16 * i + j] - want) < 1e-5);
            }
        }
        for (int i = 0; i < 64; i++)
            assert_int_equal(turned[i], a[i % 8 * 16 + i / 8]);
    }
}

struct tf32_case {
    const float *a, *b; /* [16][8], [8][8] */
    float *c;           /* [16][8] */
};

HY_KERNEL(32, tf32_kernel)(const tf32_case a) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
    uint32_t fa[4], fb[2];
    float c[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++)
        fa[i] = bits_of_float(a.a[(g + 8 * (i & 1)) * 8 + t + 4 * (i >> 1)]);
    for (int i = 0; i < 2; i++)
        fb[i] = bits_of_float(a.b[(t + 4 * i) * 8 + g]);
    mma_tf32(c, fa, fb);
    for (int i = 0; i < 4; i++)
        a.c[(g + 8 * (i >> 1)) * 8 + 2 * t + (i & 1)] = c[i] - (float)(i + 1);
}

static float upper_19(float x) {
    return hy_float_from_bits(hy_float_bits(x) >> 13 << 13);
}

static void test_tf32_tiles(void **) {
    float a[128], b[64], c[128];
    for (float &each : a)
        each = random_float();
    for (float &each : b)
        each = random_float();
    const tf32_case args = {a, b, c};
    HY_LAUNCH(tf32_kernel, grid(1), 32, 0, args);
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 8; j++) {
            double want = 0, whole = 0;
            for (int k = 0; k < 8; k++) {
                want += (double)upper_19(a[8 * i + k]) * upper_19(b[8 * k + j]);
                whole += (double)a[8 * i + k] * b[8 * k + j];
            }
            assert_true(fabs(c[8 * i + j] - want) < 3e-6);
            assert_true(fabs(c[8 * i + j] - whole) < 1e-2);
        }
    }
}

/* ---- a pipeline: sums of rows through two buffers, filled by asynchronous copies while the other is read ---- */

struct pipe_case {
    const float *x; /* [steps][128] */
    float *y;       /* [steps][4]: of each warp's part in the turned order of lanes, and of all four */
    int steps;
};

enum pipe_cut { NOTHING, BARRIER_BEFORE_READING, BARRIER_BEFORE_REFILL, WAIT, WARP_BARRIER, LATE_GROUP };

template <pipe_cut CUT> HY_KERNEL(128, pipe_kernel)(const pipe_case a) {
    float *stage = shared_at<float>(0), *exchange = shared_at<float>(2 * 128 * 4);
    const int i = thread_index();
    const auto fill = [&](int step) {
        if (i < 32 && step < a.steps)
            copy_async(stage + step % 2 * 128 + 4 * i, a.x + step * 128 + 4 * i, i == 31 ? 8 : 16);
        copy_commit();
    };
    fill(0);
    for (int step = 0; step < a.steps; step++) {
        fill(step + 1);
        if (CUT != WAIT)
            copy_wait<CUT == LATE_GROUP ? 2 : 1>();
        if (CUT != BARRIER_BEFORE_READING)
            barrier();
        exchange[i ^ 1] = stage[step % 2 * 128 + (i ^ 64)];
        if (CUT != WARP_BARRIER)
            warp_barrier();
        const float sum = warp_sum(exchange[i ^ 8] * (float)(1 + i));
        if (lane_index() == 0)
            a.y[step * 4 + warp_index()] = sum;
        if (CUT != BARRIER_BEFORE_REFILL)
            barrier();
    }
}

enum { STEPS = 5 };

/* Whether the kernel's results are right in this order. */
static bool pipe_is_right(void (*kernel)(const pipe_case), int order) {
    alignas(16) float x[STEPS * 128];
    float y[STEPS * 4];
    bool right = true;
    for (float &each : x)
        each = random_float();
    choose_order(order);
    const pipe_case args = {x, y, STEPS};
    HY_LAUNCH(kernel, grid(1), 128, 3 * 128 * 4, args);
    for (int step = 0; step < STEPS; step++) {
        for (int w = 0; w < 4; w++) {
            double want = 0;
            for (int i = 32 * w; i < 32 * w + 32; i++) {
                const int at = i ^ 8 ^ 1 ^ 64;
                want += (double)(at < 126 ? x[step * 128 + at] : 0) * (1 + i);
            }
            right = right && fabs(y[step * 4 + w] - want) < 1e-3;
        }
    }
    return right;
}

static void test_pipeline(void **) {
    for (int order = 0; order < ORDERS; order++)
        assert_true(pipe_is_right(pipe_kernel<NOTHING>, order));
}

#define CUT_IS_CAUGHT(cut)                                                                                             \
    static void test_##cut(void **) {                                                                                  \
        int wrong = 0;                                                                                                 \
        for (int order = 0; order < ORDERS; order++)                                                                   \
            wrong += !pipe_is_right(pipe_kernel<cut>, order);                                                          \
        print_message("wrong in %d of %d orders\n", wrong, (int)ORDERS);                                               \
        assert_true(wrong > 0);                                                                                        \
    }
CUT_IS_CAUGHT(BARRIER_BEFORE_READING)
CUT_IS_CAUGHT(BARRIER_BEFORE_REFILL)
CUT_IS_CAUGHT(WAIT)
CUT_IS_CAUGHT(WARP_BARRIER)
CUT_IS_CAUGHT(LATE_GROUP)

/* ---- what ends the process, and says where ---- */

struct bad_case {
    int what;
    float *out;
};
enum {
    READ_BEYOND,
    WRITE_BEFORE,
    WRITE_JUST_BEYOND,
    COPY_UNALIGNED,
    TILE_BEYOND,
    LANE_MISSING,
    BARRIER_MISSED,
    OTHER_OPERATION,
    NOT_IN_MASK,
    LOCALS_TOO_LARGE,
    LOAD_UNALIGNED,
    BAD_CASES
};

static int deep(int n) {
    volatile char large[16384];
    large[n % 100] = (char)n;
    return n == 0 ? large[0] : deep(n - 1) + large[n % 7];
}

HY_KERNEL(64, bad_kernel)(const bad_case a) {
    float *x = shared_at<float>(0);
    uint32_t r[4];
    const int i = thread_index();
    x[i] = 1;
    barrier();
    if (i == 37 && a.what == READ_BEYOND)
        a.out[0] = x[64 + a.what];
    if (i == 37 && a.what == WRITE_BEFORE && block_x() == 1)
        x[-1] = 0;
    if (i == 37 && a.what == WRITE_JUST_BEYOND)
        x[64] = 0;
    if (i == 37 && a.what == COPY_UNALIGNED)
        copy_async(x + 1, a.out);
    if (i >= 32 && a.what == TILE_BEYOND)
        tile_load4(r, x + 60 + (i == 37 ? 4 : 0));
    if (a.what == LANE_MISSING && i != 37)
        a.out[i] = warp_sum(x[i]);
    if (a.what == BARRIER_MISSED && i != 37)
        barrier();
    if (a.what == OTHER_OPERATION && i >= 32)
        a.out[i] = i == 37 ? shuffle(x[i], 3) : warp_sum(x[i]);
    if (a.what == NOT_IN_MASK && i >= 32)
        a.out[i] = shuffle(x[i], 3, 0xffffffdfu);
    if (i == 37 && a.what == LOCALS_TOO_LARGE)
        a.out[i] = (float)deep(1000);
    if (i == 37 && a.what == LOAD_UNALIGNED)
        load16(a.out + 1, r);
}

/* What the kernel says when it dies; it must. */
static void death_of(int what, char *text, size_t size) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
        alignas(16) float out[64];
        (void)dup2(pipes[1], 2);
        const bad_case args = {what, out};
        HY_LAUNCH(bad_kernel, grid(2), 64, 64 * sizeof(float), args);
        _exit(0);
    }
    int status;
    size_t n = 0;
    ssize_t got;
    close(pipes[1]);
    while (n + 1 < size && (got = read(pipes[0], text + n, size - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("case %d went on: %s", what, text);
}

static void test_errors(void **) {
    static const char *const want[BAD_CASES] = {
        "thread 37: touches byte 256 of its 256 bytes",
        "block (1,0,0), thread 37: touches byte -4 of its 256 bytes",
        "thread 37: touches byte 256 of its 256 bytes",
        "thread 37: async copy at ",
        "thread 37: tile_load4 of 16 bytes outside of its shared memory: at byte 256 of 256",
        "warp 1: lanes 0-4 6-31 wait in warp_sum for lanes 5",
        "warp 1: lanes 0-4 6-31 wait at the barrier",
        "others of the mask ffffffff are in ",
        "thread 37: is in shuffle without being in its mask",
        "thread 37: has more local variables than its stack holds",
        "thread 37: load16 at ",
    };
    choose_order(0);
    for (int what = 0; what < BAD_CASES; what++) {
        char text[4096];
        death_of(what, text, sizeof text);
        if (strstr(text, "simt: kernel bad_kernel, block (") == nullptr || strstr(text, want[what]) == nullptr)
            fail_msg("case %d: want '%s' in '%s'", what, want[what], text);
    }
}

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warp_operations),
        cmocka_unit_test(test_bf16_tiles),
        cmocka_unit_test(test_tf32_tiles),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_BARRIER_BEFORE_READING),
        cmocka_unit_test(test_BARRIER_BEFORE_REFILL),
        cmocka_unit_test(test_WAIT),
        cmocka_unit_test(test_WARP_BARRIER),
        cmocka_unit_test(test_LATE_GROUP),
        cmocka_unit_test(test_errors),
    };
    random_state = (uint64_t)time(nullptr);
    print_message("random numbers from %llu\n", (unsigned long long)random_state);
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
