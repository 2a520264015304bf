#include "train/run/stop_request.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"

static volatile sig_atomic_t received;
static double deadline; /* 0 = none */
static pthread_t main_thread;
static void (*call_at_once)(void);

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };
static struct sigaction before[N_SIGNALS];

static bool ends_at_once(int signal_number) {
    return signal_number == SIGTERM || signal_number == SIGINT;
}

static void act(int signal_number) {
    if (!pthread_equal(pthread_self(), main_thread)) {
        (void)pthread_kill(main_thread, signal_number);
        return;
    }
    if (!ends_at_once(signal_number)) {
        received = received == 0 ? signal_number : received;
        return;
    }
    if (ends_at_once(received)) { /* the second one */
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
        return;
    }
    received = signal_number;
    call_at_once();
}

static void note(int signal_number) {
    const int saved = errno;
    act(signal_number);
    errno = saved;
}

/* ---- the handlers' stack ----
 * oneDNN's sgemm keeps the stack pointer in its heap buffer while it multiplies (2.6.3, AVX-512: nine tenths of its time): a
 * handler on the thread's own stack would write over the heap. */

enum { HANDLER_STACK = 1 << 20 }; /* the writer of stop_save.h runs on it too; pages untouched cost nothing */

static struct {
    void *pages; /* the lowest one is closed */
    size_t bytes;
    stack_t before;
} stack;

static bool stack_begin(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    stack.bytes = page + HANDLER_STACK;
    stack.pages = mmap(NULL, stack.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.pages == MAP_FAILED) {
        stack.pages = NULL;
        return false;
    }
    (void)mprotect(stack.pages, page, PROT_NONE);
    const stack_t ours = {.ss_sp = (char *)stack.pages + page, .ss_size = HANDLER_STACK};
    return sigaltstack(&ours, &stack.before) == 0;
}

static void stack_end(void) {
    if (stack.pages != NULL && sigaltstack(&stack.before, NULL) == 0) {
        (void)munmap(stack.pages, stack.bytes);
    }
    stack.pages = NULL;
}

/* ---- begin, end ---- */

hy_status hy_stop_request_begin(double time_limit, void (*at_once)(void)) {
    struct sigaction action;
    if (!stack_begin()) {
        return hy_fail(HY_ERR_MEMORY, "no memory for the stack of the signal handlers: %s", strerror(errno));
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    received = 0;
    deadline = time_limit > 0.0 ? hy_now() + time_limit : 0.0;
    main_thread = pthread_self();
    call_at_once = at_once;
    for (int i = 0; i < N_SIGNALS; i++) { /* one handler does not interrupt another */
        sigaddset(&action.sa_mask, signals[i]);
    }
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], &action, &before[i]);
    }
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is then a write error, like a full disk */
    return HY_OK;
}

void hy_stop_request_end(void) {
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], &before[i], NULL);
    }
    stack_end();
}

static bool time_is_up(void) {
    return deadline > 0.0 && hy_now() >= deadline;
}

bool hy_stop_requested(void) {
    return received != 0 || time_is_up();
}

bool hy_stop_signalled(void) {
    return received != 0;
}

bool hy_stop_at_once(void) {
    return ends_at_once(received);
}

const char *hy_stop_reason(void) {
    switch (received) {
    case SIGTERM:
        return "SIGTERM";
    case SIGINT:
        return "SIGINT";
    case SIGUSR1:
        return "SIGUSR1";
    default:
        return time_is_up() ? "time limit" : "another rank";
    }
}
