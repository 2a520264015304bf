#include "train/run/stop_request.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"

static volatile sig_atomic_t received;
static double deadline; /* 0 = none */

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };
static struct sigaction before[N_SIGNALS];

static void note(int signal_number) {
    received = signal_number;
}

void hy_stop_request_begin(double time_limit) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    received = 0;
    deadline = time_limit > 0.0 ? hy_now() + time_limit : 0.0;
    for (int i = 0; i < N_SIGNALS; i++) {
        action.sa_flags = signals[i] == SIGUSR1 ? SA_RESTART : SA_RESTART | (int)SA_RESETHAND;
        sigaction(signals[i], &action, &before[i]);
    }
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is then a write error, like a full disk */
}

void hy_stop_request_end(void) {
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], &before[i], NULL);
    }
}

bool hy_stop_requested(void) {
    return received != 0 || (deadline > 0.0 && hy_now() >= deadline);
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
        return deadline > 0.0 && hy_now() >= deadline ? "time limit" : "another rank";
    }
}
