/* Calls that come again: whatever repeats, in pieces of any length, the numbers are those of calls given one by one; what differs is not
 * replayed, nor what leads to the host's memory; places for pieces end, and are given up by what no longer comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device_internal.h"

enum { N = 5, LONG = 1000 };

static hy_device *device;
static float *y;

static int begin_device(void **state) {
    void *memory = NULL;
    (void)state;
    assert_int_equal(hy_device_create("cpu_async", HY_F32, &device), HY_OK);
    assert_int_equal(hy_device_alloc(device, "y", N * sizeof *y, &memory), HY_OK);
    y = memory;
    hy_device_set_pieces(device, true);
    return 0;
}

static int end_device(void **state) {
    (void)state;
    hy_device_free(device, y);
    hy_device_destroy(device);
    return 0;
}

static void fill(double value) {
    hy_fill(device, &(hy_fill_args){.n = N, .value = value, .y = y});
}

/* y += a·y: order matters beside `fill`. */
static void grow(double a) {
    hy_axpy(device, &(hy_axpy_args){.n = N, .a = a, .x = y, .y = y, .acc = 1});
}

static void assert_y(double value) {
    float got[N];
    hy_device_read(device, y, sizeof got, got);
    for (int i = 0; i < N; i++) {
        assert_true(got[i] == (float)value);
    }
}

/* n doublings from `value` on, three at least. */
static void doublings(double value, int n) {
    fill(value);
    for (int i = 0; i < n; i++) {
        grow(1);
    }
}

static void assert_counts(int64_t single, int64_t replayed, int64_t kept) {
    const hy_piece_counts c = hy_device_pieces(device);
    assert_int_equal(c.single, single);
    assert_int_equal(c.replayed, replayed);
    assert_int_equal(c.kept, kept);
}

static void test_what_comes_again(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        doublings(3, 4);
        assert_y(48);
        doublings(5, 3);
        assert_y(40);
    }
    assert_counts(9, 4 * 9, 2); /* one by one when they came first */
    hy_device_set_pieces(device, false);
    doublings(3, 4);
    assert_y(48);
    assert_counts(9, 4 * 9, 2);
}

/* A piece ends at marks and copies too, and what is collected is in its place among them. */
static void test_order(void **state) {
    float sent[N] = {9, 9, 9, 9, 9};
    (void)state;
    for (int i = 0; i < 4; i++) {
        doublings(3, 4);
        const hy_mark mark = hy_device_mark(device, HY_LANE_COMPUTE);
        hy_device_after(device, HY_LANE_COPY, mark);
        hy_device_upload(device, HY_LANE_COPY, sent, sizeof sent, y);
        hy_device_after(device, HY_LANE_COMPUTE, hy_device_mark(device, HY_LANE_COPY));
        grow(1), grow(1), grow(1), grow(1);
        assert_y(144);
        hy_device_zero(device, HY_LANE_COMPUTE, y, sizeof sent);
        grow(1);
        assert_y(0);
    }
    assert_counts(5 + 4 + 4, 3 * 9, 2); /* the last one is too short */
}

static void test_what_differs(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        doublings(1 + i, 6);
        assert_y(64 * (1 + i));
    }
    assert_counts(6 * 7, 0, 0);
}

/* An update's list is the host's, which may write another one there. */
static void test_lists_of_the_host(void **state) {
    float zeros[N] = {0};
    hy_adamw_segment segment = {0, 1, 0};
    void *moments = NULL;
    (void)state;
    assert_int_equal(hy_device_alloc(device, "moments", 2 * sizeof zeros, &moments), HY_OK);
    for (int i = 0; i < 6; i++) {
        segment.at = i % N;
        doublings(1, 5);
        hy_adamw(device, &(hy_adamw_args){.segments = &segment,
                                          .n_segments = 1,
                                          .step = 1,
                                          .lr = 1,
                                          .eps = 1,
                                          .decay = 0,
                                          .g = y,
                                          .w = y,
                                          .m = moments,
                                          .v = (float *)moments + N});
        hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    }
    assert_counts(6 * 7, 0, 0);
    hy_device_free(device, moments);
}

/* More calls than a piece has room for. */
static void test_long(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        fill(1);
        for (int k = 0; k < LONG; k++) {
            grow(k % 2 ? -0.5 : 1);
        }
        assert_y(1);
    }
    const hy_piece_counts c = hy_device_pieces(device);
    assert_int_equal(c.single + c.replayed, 4 * (LONG + 1));
    assert_true(c.replayed > 2 * LONG && c.kept > 1);
}

/* More pieces than there are places, again and again; then others for so long that the first ones are gone. */
static void test_places(void **state) {
    enum { PIECES = HY_PIECES_PLACES + 20, ROUNDS = 4, LATER = 10 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        for (int p = 0; p < PIECES; p++) {
            doublings(1 + p, 3);
            assert_y(8 * (1 + p));
        }
    }
    assert_counts(4 * (PIECES + (ROUNDS - 1) * 20), 4 * (ROUNDS - 1) * HY_PIECES_PLACES, HY_PIECES_PLACES);
    for (int i = 0; i < 20 * HY_PIECES_PLACES; i++) {
        doublings(-(1 + i % LATER), 3);
        (void)hy_device_mark(device, HY_LANE_COMPUTE);
    }
    assert_y(-8 * LATER);
    assert_int_equal(hy_device_pieces(device).kept, HY_PIECES_PLACES + LATER);
}

static bool refuse_to_keep(hy_device *of, int place, const hy_piece *piece) {
    (void)of;
    (void)place;
    return piece->n == 0;
}

/* Where nothing can be made of a piece, its calls are given one by one. */
static void test_refused(void **state) {
    const hy_device_kind *own = device->kind;
    hy_device_kind kind = *own;
    (void)state;
    kind.keep = refuse_to_keep;
    device->kind = &kind;
    for (int i = 0; i < 4; i++) {
        doublings(3, 4);
        assert_y(48);
    }
    assert_counts(4 * 5, 0, 0);
    device->kind = own;
}

int main(void) {
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin_device, end_device)
    const struct CMUnitTest tests[] = {CASE(test_what_comes_again),
                                       CASE(test_order),
                                       CASE(test_what_differs),
                                       CASE(test_lists_of_the_host),
                                       CASE(test_long),
                                       CASE(test_places),
                                       CASE(test_refused)};
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
