/* A signal in the middle of matrix products: the library's own use of the stack pointer and the handler's frame do not meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/device.h"
#include "train/run/stop_request.h"

enum { M = 512, N = 32, K = 256, SIGNALS = 400, MOST = (M > K ? M : K) * (M > N ? M : N) };

static pid_t start_signals(void) {
    const pid_t whom = getpid(), child = fork();
    if (child == 0) {
        for (int i = 0; i < SIGNALS; i++) {
            usleep(500);
            (void)kill(whom, SIGUSR1);
        }
        _exit(0);
    }
    return child;
}

static void products_under_signals(const char *kind, hy_dtype dtype) {
    hy_device *device = NULL;
    void *x[3];
    const hy_gemm_args shapes[] = {{.m = M, .n = N, .k = K, .lda = K, .ldb = N, .ldc = N},
                                   {.trans_a = 1, .m = N, .n = K, .k = M, .lda = N, .ldb = K, .ldc = K},
                                   {.trans_b = 1, .m = M, .n = K, .k = N, .lda = N, .ldb = N, .ldc = K}};
    assert_int_equal(hy_device_create(kind, dtype, &device), HY_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hy_device_alloc(device, "operand", (size_t)MOST * sizeof(double), &x[i]), HY_OK);
        hy_device_zero(device, HY_LANE_COMPUTE, x[i], (size_t)MOST * sizeof(double));
    }
    assert_int_equal(hy_stop_request_begin(0.0, NULL), HY_OK);
    const pid_t child = start_signals();
    assert_true(child > 0);
    int64_t products = 0;
    for (int status; waitpid(child, &status, WNOHANG) == 0; products++) {
        hy_gemm_args a = shapes[products % 3];
        a.alpha = 1, a.a = x[0], a.b = x[1], a.c = x[2];
        hy_gemm(device, &a);
    }
    assert_true(products > 3);
    assert_true(hy_stop_requested());
    assert_string_equal(hy_stop_reason(), "SIGUSR1");
    hy_stop_request_end();
    for (int i = 0; i < 3; i++) {
        hy_device_free(device, x[i]);
    }
    hy_device_destroy(device);
}

static void test_f32(void **state) {
    (void)state;
    products_under_signals("cpu", HY_F32);
}

static void test_bf16(void **state) {
    (void)state;
    products_under_signals("cpu", HY_BF16);
}

/* A worker that took a signal would run the handler on its own stack. */
static void test_only_this_thread_hears(void **state) {
    (void)state;
    sigset_t before, now;
    omp_set_num_threads(3);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    hy_device *device = NULL;
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
    for (int i = 1; i < SIGRTMAX; i++) {
        assert_int_equal(sigismember(&before, i), sigismember(&now, i));
    }
    int deaf = 0, workers = 0;
#pragma omp parallel reduction(+ : deaf, workers)
    {
        sigset_t mask;
        (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
        deaf += sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1);
        workers++;
    }
    assert_int_equal(workers - deaf, 1);
    hy_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_only_this_thread_hears)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
