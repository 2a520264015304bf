#include "train/run/stop_request.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

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

void hy_stop_request_begin(double time_limit, void (*at_once)(void)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
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
}

void hy_stop_request_end(void) {
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], &before[i], NULL);
    }
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
