/* cpu_async: lanes keep their order, marks and signals order lanes among themselves and nothing else does, the host cannot touch what a
 * device holds, and a mark that gets lost shows. Every case runs in a child, which has an environment and a guard of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/device.h"

enum { N = 1 << 16 };

#ifdef __SANITIZE_THREAD__
enum { THREAD_SANITIZER = 1, RACE = 66 /* its exit code */ };
#else
enum { THREAD_SANITIZER = 0, RACE = 66 };
#endif

typedef struct child_end {
    int status;         /* of waitpid */
    char said[1 << 16]; /* of a report by ThreadSanitizer too */
} child_end;

/* The environment is "NAME=value" strings, NULL at the end; the child ends with what `body` returns, 0 = as it should be. */
static child_end in_child(int (*body)(void), const char *const *environment) {
    child_end end = {.status = -1};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (; environment != NULL && *environment != NULL; environment++) {
            putenv((char *)(uintptr_t)*environment);
        }
        (void)signal(SIGSEGV, SIG_DFL); /* not the test's own */
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        _exit(body());
    }
    (void)close(ends[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], end.said + length, sizeof end.said - 1 - length)) > 0;) {
        length += (size_t)n;
    }
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &end.status, 0), child);
    return end;
}

static void should_pass(int (*body)(void), const char *const *environment) {
    const child_end end = in_child(body, environment);
    if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0) {
        fail_msg("%s: status %x: %s", environment ? environment[0] : "", (unsigned)end.status, end.said);
    }
}

static hy_device *open_device(void) {
    hy_device *device = NULL;
    if (hy_device_create("cpu_async", HY_F32, &device) != HY_OK) {
        _exit(90);
    }
    return device;
}

static float *array_of(hy_device *device, const char *what, int64_t n) {
    void *p = NULL;
    if (hy_device_alloc(device, what, (size_t)n * sizeof(float), &p) != HY_OK) {
        _exit(91);
    }
    return p;
}

static void fill(hy_device *device, float *y, int64_t n, double value) {
    hy_fill(device, &(hy_fill_args){.n = n, .y = y, .value = value});
}

static float first_that_is_not(hy_device *device, const float *x, int64_t n, float value) {
    float *host = malloc((size_t)n * sizeof *host);
    hy_device_read(device, x, (size_t)n * sizeof *host, host);
    float other = value;
    for (int64_t i = 0; i < n && other == value; i++) {
        other = host[i];
    }
    free(host);
    return other;
}

/* ---- order ---- */

/* Calls of one lane run one after the other, more of them than its queue holds, with the args of when they were given. */
static int lane_in_order(void) {
    hy_device *device = open_device();
    float *a = array_of(device, "a", N), *b = array_of(device, "b", N);
    fill(device, a, N, 1);
    for (int i = 0; i < 3000; i++) {
        hy_axpy_args args = {.n = i % 100 ? 16 : N, .a = 1, .x = i % 2 ? b : a, .y = i % 2 ? a : b};
        hy_axpy(device, &args);
        memset(&args, 0xEE, sizeof args);
    }
    const int64_t waits = hy_device_waits(device);
    const float other = first_that_is_not(device, a, N, 1);
    const int bad = other != 1.0f || waits != 0 || hy_device_waits(device) != 1;
    const hy_op_counts *counts = hy_device_counts(device);
    const int miscounted = counts->calls[HY_OP_axpy] != 3000 || !(counts->seconds[HY_OP_axpy] > 0);
    hy_device_free(device, a);
    hy_device_free(device, b);
    hy_device_destroy(device);
    return bad + 2 * miscounted;
}

/* What COPY carries from COMPUTE to the host and back, ordered by marks alone. */
static int lanes_by_marks(void) {
    hy_device *device = open_device();
    float *a = array_of(device, "a", N), *b = array_of(device, "b", N), *image = NULL;
    int bad = hy_device_host_alloc(device, "image", N * sizeof *image, (void **)&image) != HY_OK;
    for (int round = 1; round <= 40; round++) {
        fill(device, a, N, round);
        hy_device_after(device, HY_LANE_COPY, hy_device_mark(device, HY_LANE_COMPUTE));
        hy_device_copy(device, HY_LANE_COPY, image, a, N * sizeof *image);
        const hy_mark there = hy_device_mark(device, HY_LANE_COPY);
        hy_device_zero(device, HY_LANE_COMPUTE, b, N * sizeof *image);
        hy_device_wait(device, there);
        for (int i = 0; i < N; i++) {
            bad |= image[i] != (float)round;
            image[i] = 2.0f * (float)round;
        }
        if (round % 2) {
            hy_device_upload(device, HY_LANE_COPY, image, N * sizeof *image, a);
        } else {
            hy_device_copy(device, HY_LANE_COPY, a, image, N * sizeof *image);
        }
        hy_device_after(device, HY_LANE_COMPUTE, hy_device_mark(device, HY_LANE_COPY));
        hy_add(device, &(hy_add_args){.n = N, .a = a, .b = a, .y = b});
        bad |= first_that_is_not(device, b, N, 4.0f * (float)round) != 4.0f * (float)round;
    }
    hy_device_host_free(device, image);
    hy_device_destroy(device);
    return bad;
}

static void test_order(void **state) {
    (void)state;
    static const char *const seeds[] = {"HYLAS_ASYNC_SEED=1", "HYLAS_ASYNC_SEED=2", "HYLAS_ASYNC_SEED=3",
                                        "HYLAS_ASYNC_SEED=4"};
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        should_pass(lane_in_order, (const char *[]){seeds[i], NULL});
        should_pass(lanes_by_marks, (const char *[]){seeds[i], NULL});
        should_pass(lanes_by_marks, (const char *[]){seeds[i], "HYLAS_GUARD=pages", NULL});
    }
}

/* ---- signals ---- */

static void count_call(void *context) {
    ++*(int *)context;
}

/* COMPUTE stands at the signal: nothing behind it runs, whoever waits for that waits, and `idle` is called meanwhile. */
typedef struct signaller {
    hy_device *device;
    hy_signal *signal;
    int calls;
} signaller;

static void signal_at_last(void *context) {
    signaller *s = context;
    if (++s->calls == 10) {
        hy_device_signal(s->device, s->signal, 5);
    }
}

static int lane_by_signal(void) {
    hy_device *device = open_device();
    float *a = array_of(device, "a", N);
    hy_signal *signal = NULL;
    int calls = 0, bad = hy_device_signals(device, 1, &signal) != HY_OK;
    hy_device_after_signal(device, HY_LANE_COMPUTE, signal, 5);
    fill(device, a, N, 3);
    const hy_mark behind = hy_device_mark(device, HY_LANE_COMPUTE);
    hy_device_signal(device, signal, 4);
    hy_device_copy(device, HY_LANE_COPY, &(float){1}, &(float){2}, sizeof(float)); /* another lane goes on */
    hy_device_set_idle(device, (hy_idle){count_call, &calls});
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COPY));
    bad |= hy_device_reached(device, behind) ? 2 : 0;
    signaller s = {device, signal, 0};
    hy_device_set_idle(device, (hy_idle){signal_at_last, &s});
    bad |= first_that_is_not(device, a, N, 3) != 3 ? 4 : 0;
    bad |= s.calls < 10 ? 8 : 0;
    hy_device_set_idle(device, (hy_idle){NULL, NULL});
    hy_device_signals_free(device, signal);
    hy_device_destroy(device);
    return bad;
}

static void test_signal(void **state) {
    (void)state;
    should_pass(lane_by_signal, NULL);
}

/* ---- a mark that gets lost ---- */

/* COMPUTE stands at a signal, COPY behind COMPUTE; the host waits for COPY before it gives the signal. That ends only if a mark is lost, and
 * then what was copied is not there yet. Returns 7 in that case. */
static int copy_before_fill(void) {
    hy_device *device = open_device();
    float *a = array_of(device, "a", N), *b = array_of(device, "b", N);
    hy_signal *signal = NULL;
    if (hy_device_signals(device, 1, &signal) != HY_OK) {
        return 1;
    }
    (void)alarm(3);
    hy_device_after_signal(device, HY_LANE_COMPUTE, signal, 1);
    fill(device, a, N, 3);
    hy_device_after(device, HY_LANE_COPY, hy_device_mark(device, HY_LANE_COMPUTE));
    hy_device_copy(device, HY_LANE_COPY, b, a, N * sizeof *a);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COPY));
    hy_device_signal(device, signal, 1);
    return first_that_is_not(device, b, N, 3) == 0 ? 7 : 0;
}

static void test_lost_mark(void **state) {
    (void)state;
    child_end end = in_child(copy_before_fill, (const char *[]){"HYLAS_ASYNC_DROP=2", NULL});
    assert_true(WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), 7);
    end = in_child(copy_before_fill, NULL); /* none lost: it waits for ever */
    assert_true(WIFSIGNALED(end.status));
    assert_int_equal(WTERMSIG(end.status), SIGALRM);
}

/* ---- memory ---- */

static int touch_memory(void) {
    hy_device *device = open_device();
    volatile float *a = array_of(device, "activation arena", N);
    fill(device, (float *)(uintptr_t)a, N, 3);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    return a[100] == 3.0f ? 50 : 51;
}

static int touch_inside(void) {
    hy_device *device = open_device();
    volatile float *a = array_of(device, "activation arena", N);
    hy_device_enter(device);
    hy_device_enter(device);
    a[5] = 3;
    hy_device_leave(device);
    a[6] = 3;
    hy_device_leave(device);
    hy_device_free(device, (float *)(uintptr_t)a);
    hy_device_destroy(device);
    return 0;
}

static int touch_after(void) {
    hy_device *device = open_device();
    volatile float *a = array_of(device, "activation arena", N);
    hy_device_enter(device);
    a[5] = 3;
    hy_device_leave(device);
    a[6] = 3;
    return 50;
}

/* What was guarded goes back to the heap as it came. */
static int free_and_use(void) {
    hy_device *device = open_device();
    for (int i = 0; i < 200; i++) {
        float *a = array_of(device, "a", 100 + 50 * i), *b = array_of(device, "b", 0);
        hy_device_free(device, a);
        hy_device_free(device, b);
        char *heap = malloc(400 + 200 * (size_t)i);
        memset(heap, 1, 400 + 200 * (size_t)i);
        free(heap);
    }
    hy_device_destroy(device);
    return 0;
}

static void should_die(int (*body)(void), const char *guard_kind) {
    const child_end end = in_child(body, (const char *[]){guard_kind, NULL});
    assert_true(WIFSIGNALED(end.status));
    assert_int_equal(WTERMSIG(end.status), SIGSEGV);
    assert_non_null(strstr(end.said, "the host touched device memory of 'activation arena' at byte "));
}

static void test_memory(void **state) {
    (void)state;
    static const char *const kinds[] = {"HYLAS_GUARD=keys", "HYLAS_GUARD=pages"};
    for (int i = 0; i < 2; i++) {
        should_die(touch_memory, kinds[i]);
        should_die(touch_after, kinds[i]);
        should_pass(touch_inside, (const char *[]){kinds[i], NULL});
        should_pass(free_and_use, (const char *[]){kinds[i], NULL});
    }
    const child_end end = in_child(touch_memory, (const char *[]){"HYLAS_GUARD=none", NULL});
    assert_true(WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), 50);
}

/* An operation's own threads may touch it too, and are as many as whoever made the device would have had. */
static int many_threads(void) {
    omp_set_num_threads(4);
    hy_device *device = open_device();
    float *a = array_of(device, "a", 512 * 512), *b = array_of(device, "b", 512 * 512),
          *c = array_of(device, "c", 512 * 512);
    fill(device, a, 512 * 512, 1);
    fill(device, b, 512 * 512, 2);
    for (int i = 0; i < 20; i++) {
        hy_gemm(
            device,
            &(hy_gemm_args){
                .m = 512, .n = 512, .k = 512, .alpha = 1, .a = a, .lda = 512, .b = b, .ldb = 512, .c = c, .ldc = 512});
        hy_unary_fwd(device,
                     &(hy_unary_args){.act = HY_ACT_RELU, .n = 512 * 512, .scale = 1, .floor = -1e30, .x = c, .y = c});
    }
    const int bad = first_that_is_not(device, c, 512 * 512, 1024) != 1024;
    hy_device_destroy(device);
    return bad;
}

static void test_threads(void **state) {
    (void)state;
    if (THREAD_SANITIZER) { /* takes what OpenMP orders for races */
        skip();
    }
    should_pass(many_threads, (const char *[]){"HYLAS_GUARD=keys", NULL});
    should_pass(many_threads, (const char *[]){"HYLAS_GUARD=pages", NULL});
}

/* ---- what a forked child sees ---- */

/* The child's status: it looks at what the device holds. */
static int look_in_child(const char *name, bool *seen) {
    hy_device *device = NULL;
    int status = -1;
    if (hy_device_create(name, HY_F32, &device) != HY_OK) {
        _exit(90);
    }
    float *a = array_of(device, "a", N);
    fill(device, a, N, 3);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    *seen = !hy_device_is_apart(device);
    const pid_t child = fork();
    if (child == 0) {
        hy_device_open_to_child(device);
        _exit(a[0] == 3 && a[N - 1] == 3 ? 0 : 1);
    }
    (void)waitpid(child, &status, 0);
    hy_device_free(device, a);
    hy_device_destroy(device);
    return status;
}

static int seen_by_child(void) {
    bool seen;
    const int status = look_in_child("cpu_async", &seen);
    return !seen || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static int unseen_by_child(void) {
    bool seen;
    const int status = look_in_child("cpu_apart", &seen);
    return seen || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV;
}

static void test_children(void **state) {
    (void)state;
    if (THREAD_SANITIZER) { /* a child of several threads is not for it */
        skip();
    }
    should_pass(seen_by_child, NULL);
    should_pass(unseen_by_child, NULL);
    should_pass(unseen_by_child, (const char *[]){"HYLAS_GUARD=pages", NULL});
}

/* COPY reads what COMPUTE has long written, with and without a mark in between. */
static int copy_of_filled(bool with_mark) {
    hy_device *device = open_device();
    float *a = array_of(device, "a", N), *b = array_of(device, "b", N), *c = array_of(device, "c", N);
    fill(device, a, N, 1);
    for (int i = 0; i < 100; i++) {
        hy_device_copy(device, HY_LANE_COPY, c, b, N * sizeof *c);
    }
    if (with_mark) {
        hy_device_after(device, HY_LANE_COPY, hy_device_mark(device, HY_LANE_COMPUTE));
    }
    hy_device_copy(device, HY_LANE_COPY, b, a, N * sizeof *b);
    hy_device_destroy(device);
    return 0;
}

static int copy_with_mark(void) {
    return copy_of_filled(true);
}

static int copy_without_mark(void) {
    return copy_of_filled(false);
}

/* ThreadSanitizer sees a missing mark where everything went well too. */
static void test_seen_order(void **state) {
    (void)state;
    if (!THREAD_SANITIZER) {
        skip();
    }
    should_pass(copy_with_mark, NULL);
    const child_end end = in_child(copy_without_mark, NULL);
    assert_true(WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), RACE);
    assert_non_null(strstr(end.said, "data race"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),    cmocka_unit_test(test_signal),  cmocka_unit_test(test_lost_mark),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_threads), cmocka_unit_test(test_seen_order),
        cmocka_unit_test(test_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
