/* kernels/cuda/cuda_stamps.h, on a runtime of the test's own, whose streams go on when it says so: each time is written once its event is over, in the
 * host's clock; a base is taken where nothing is pending; events are used again; more stamps than events wait, and let the host go on meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

#ifdef HY_TEST_CUDA_HEADER
#include <cuda_runtime_api.h>

/* An event: when it is over, in milliseconds of the stream's own clock, which has nothing to do with the host's. */
typedef struct fake_event {
    double recorded;
    int64_t place; /* in the order of records */
} fake_event;

static double device_clock;
static int64_t recorded, over; /* events; so many are over */
static int made, destroyed, bases_waited;

static cudaError_t fake_create(cudaEvent_t *out, unsigned flags) {
    assert_int_equal(flags, cudaEventDefault); /* one that has a time */
    *out = calloc(1, sizeof(fake_event));
    made++;
    return cudaSuccess;
}

static cudaError_t fake_destroy(cudaEvent_t e) {
    free(e);
    destroyed++;
    return cudaSuccess;
}

static cudaError_t fake_record(cudaEvent_t e, cudaStream_t stream) {
    (void)stream;
    *(fake_event *)(void *)e = (fake_event){device_clock, ++recorded};
    return cudaSuccess;
}

static cudaError_t fake_query(cudaEvent_t e) {
    return ((const fake_event *)(const void *)e)->place <= over ? cudaSuccess : cudaErrorNotReady;
}

static cudaError_t fake_elapsed(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
    assert_int_equal(fake_query(from), cudaSuccess);
    assert_int_equal(fake_query(to), cudaSuccess);
    *milliseconds =
        (float)(((const fake_event *)(const void *)to)->recorded - ((const fake_event *)(const void *)from)->recorded);
    return cudaSuccess;
}

#define cudaEventCreateWithFlags               fake_create
#define cudaEventDestroy                       fake_destroy
#define cudaEventRecord                        fake_record
#define cudaEventQuery                         fake_query
#define cudaEventElapsedTime                   fake_elapsed
#define hy_cuda_check(error, call, file, line) assert_int_equal(error, cudaSuccess)
#define HY_KERNELS_CUDA_CUDA_CALL_H
#define HY_CUDA(call) assert_int_equal(call, cudaSuccess)
#include "kernels/cuda/cuda_stamps.c"

static hy_cuda_stamps stamps;

/* The host does something else: the stream gets one event further. */
static void go_on(void *context) {
    (void)context;
    bases_waited++;
    over++;
}
static const hy_idle idle = {go_on, NULL};

static void begin(void) {
    stamps = (hy_cuda_stamps){0};
    device_clock = 0;
    recorded = over = 0;
    made = destroyed = bases_waited = 0;
}

static void test_times(void **state) {
    double at[3] = {-1, -1, -1};
    (void)state;
    begin();
    for (int round = 0; round < 3; round++) {
        device_clock = 1e7 * round; /* far away: distances from an old base would be floats of an hour */
        const double before = hy_now();
        hy_cuda_stamps_add(&stamps, NULL, idle, &at[0]);
        const double after = hy_now();
        assert_int_equal(bases_waited, round + 1); /* the base only */
        device_clock += 0.25;
        hy_cuda_stamps_add(&stamps, NULL, idle, &at[1]);
        device_clock += 2.0;
        hy_cuda_stamps_add(&stamps, NULL, idle, &at[2]);
        assert_int_equal(bases_waited, round + 1);
        at[0] = at[1] = at[2] = -1;
        hy_cuda_stamps_write(&stamps); /* none is over */
        assert_true(at[0] == -1 && at[1] == -1 && at[2] == -1);
        over = recorded - 1;
        hy_cuda_stamps_write(&stamps);
        assert_true(at[0] >= before && at[0] <= after);
        assert_true(at[1] - at[0] > 0.249e-3 && at[1] - at[0] < 0.251e-3);
        assert_true(at[2] == -1);
        assert_int_equal(stamps.pending, 1);
        over = recorded;
        hy_cuda_stamps_write(&stamps);
        assert_true(at[2] - at[0] > 2.249e-3 && at[2] - at[0] < 2.251e-3);
        assert_int_equal(stamps.pending, 0);
    }
    assert_int_equal(made, 4); /* used again */
    hy_cuda_stamps_fini(&stamps);
    assert_int_equal(destroyed, made);
}

/* Nothing is written twice, lost, or written elsewhere where there are more than can be pending. */
static void test_more_than_pending(void **state) {
    enum { N = HY_CUDA_STAMPS + 500 };
    static double at[N];
    (void)state;
    begin();
    for (int i = 0; i < N; i++) {
        at[i] = -1;
        device_clock = i;
        hy_cuda_stamps_add(&stamps, NULL, idle, &at[i]);
    }
    assert_int_equal(bases_waited, 1 + 500);
    over = recorded;
    hy_cuda_stamps_write(&stamps);
    for (int i = 1; i < N; i++) {
        assert_true(at[i] - at[i - 1] > 0.9e-3 && at[i] - at[i - 1] < 1.1e-3);
    }
    assert_int_equal(made, HY_CUDA_STAMPS + 1);
    hy_cuda_stamps_fini(&stamps);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_times), cmocka_unit_test(test_more_than_pending)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
static void test_no_header(void **state) {
    (void)state;
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_header)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
