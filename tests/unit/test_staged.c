/* Exchanges of a device that is apart: a transport that touches its memory dies, and through staging nothing does. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "comm/comm_internal.h"
#include "comm/deferred.h"
#include "kernels/device.h"

enum { N = 100000 };

static hy_xfer gather(const void *send, void *recv) {
    return (hy_xfer){.kind = HY_X_ALL_GATHER, .send = send, .recv = recv, .n = N};
}

/* What the child that hands device memory to a transport ends with: 0 or a signal. */
static int end_of_touch(const char *name) {
    const pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* not the test's own */
        const struct rlimit no_core = {0, 0};
        hy_device *device = NULL;
        hy_comm *self = NULL, *comm = NULL;
        void *a = NULL, *b = NULL;
        hy_req req = {0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (hy_device_create(name, HY_F32, &device) != HY_OK || hy_comm_self_create(&self) != HY_OK ||
            hy_comm_bind(self, device, HY_TRANSPORT_AUTO, &comm) != HY_OK ||
            hy_device_alloc(device, "a", N, &a) != HY_OK || hy_device_alloc(device, "b", N, &b) != HY_OK) {
            _exit(99);
        }
        const hy_xfer x = gather(a, b);
        hy_deferred_enter();
        comm->transport->post(comm, &x, &req);
        hy_deferred_leave();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_touching_is_fatal(void **state) {
    (void)state;
    assert_int_equal(end_of_touch("cpu_async"), 0);
    assert_int_equal(end_of_touch("cpu_apart"), SIGSEGV);
}

static void test_goes_through_the_host(void **state) {
    hy_device *device = NULL;
    hy_comm *self = NULL, *comm = NULL;
    void *a = NULL, *b = NULL;
    hy_req req;
    static char in[N], out[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        in[i] = (char)(i % 113);
    }
    assert_int_equal(hy_device_create("cpu_apart", HY_F32, &device), HY_OK);
    assert_true(hy_device_is_apart(device));
    assert_int_equal(hy_comm_self_create(&self), HY_OK);
    assert_int_equal(hy_comm_bind(self, device, HY_TRANSPORT_AUTO, &comm), HY_OK);
    assert_int_equal(hy_device_alloc(device, "a", N, &a), HY_OK);
    assert_int_equal(hy_device_alloc(device, "b", N, &b), HY_OK);
    hy_device_write(device, in, N, a);
    hy_req sent;
    hy_comm_send(comm, "to oneself", a, N, 0, 3, &sent);
    hy_comm_recv(comm, "to oneself", b, N, 0, 3, &req);
    hy_comm_wait(&req);
    hy_comm_wait(&sent);
    hy_device_read(device, b, N, out);
    assert_memory_equal(in, out, N);
    hy_comm_destroy(comm);
    hy_comm_destroy(self);
    hy_device_free(device, a);
    hy_device_free(device, b);
    hy_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_touching_is_fatal),
                                       cmocka_unit_test(test_goes_through_the_host)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
