#include "train/run/stop_save.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/signals.h"
#include "train/checkpoint/checkpoint_part.h"
#include "train/run/stop_request.h"

enum { WRITERS_MAX = 8, WRITER_SECONDS = 600 }; /* a writer stuck on a dead file system does not stay for ever */

static struct {
    hy_part *part; /* NULL: not begun */
    hy_device *device;
    bool first_rank;
    char log[HY_PATH_MAX];
    void (*leave)(void *context);
    void *context;
    hy_progress now, next;
    int64_t saved_step, written_step; /* needs no saving; a writer is, or was, at it */
    volatile sig_atomic_t settled;    /* `now` is what the memory holds */
    bool awaited;                     /* it will be, once the device has passed `behind` */
    hy_mark behind;
    bool fetching, inside; /* what is to be written is on its way to the host; which is at it */
    double next_look;
    int n_writers;
    pid_t writers[WRITERS_MAX];
} state;

/* ---- in the handler, and the child it makes ---- */

/* The launcher waits for whoever holds its pipes and kills its ranks' groups: the child lets go of both. */
static void become_writer(void) {
    sigset_t none;
    sigemptyset(&none);
    const int nothing = open("/dev/null", O_RDWR);
    (void)setsid();
    for (int fd = 0; fd < 3 && nothing >= 0; fd++) {
        (void)dup2(nothing, fd);
    }
    (void)close_range(3, ~0u, 0);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)alarm(WRITER_SECONDS);
}

static void say(const char *text) {
    const int log = open(state.log, O_WRONLY | O_APPEND | O_CLOEXEC);
    (void)!write(STDERR_FILENO, text, strlen(text));
    if (log >= 0) {
        (void)!write(log, text, strlen(text));
        (void)close(log);
    }
}

static void announce(void) {
    char text[160] = "\n";
    strcat(text, hy_stop_reason());
    strcat(text, ": the last finished step is being saved; a second signal ends the run at once\n");
    say(text);
}

/* Whether `now` still has to be saved; then it counts as being so. */
static bool take_on(void) {
    if (state.now.step <= state.saved_step || state.now.step == state.written_step) {
        return false;
    }
    if (hy_part_announce(state.part, state.now.step) && state.written_step < 0) {
        announce();
    }
    state.written_step = state.now.step;
    return true;
}

static void write_in_child(void) {
    const pid_t child = _Fork();
    if (child == 0) {
        become_writer();
        if (!hy_device_is_apart(state.device)) {
            hy_device_open_to_child(state.device);
        }
        _exit(hy_part_write(state.part, &state.now) ? 0 : 1);
    }
    if (child > 0 && state.n_writers < WRITERS_MAX) {
        state.writers[state.n_writers++] = child;
    }
}

void hy_stop_save_at_once(void) {
    if (state.settled && !hy_part_fetches(state.part) && take_on()) {
        write_in_child();
    }
}

/* ---- where the child would not see the device ---- */

static void write_fetched(void) {
    sigset_t before;
    hy_signals_hold(&before);
    write_in_child();
    hy_signals_release(&before);
    hy_part_fetch_end(state.part);
}

/* Between two operations or while the run waits; while this waits it comes here again. Without memory for it the step at hand is finished
 * and saved as ever. */
static void fetch_and_write(bool wait) {
    if (state.inside || !state.settled || !hy_stop_at_once()) {
        return;
    }
    if (!state.fetching && take_on()) {
        state.fetching = hy_part_fetch_begin(state.part) == HY_OK;
    }
    state.inside = true;
    if (state.fetching && hy_part_fetched(state.part, wait)) {
        state.fetching = false;
        write_fetched();
    }
    state.inside = false;
}

/* ---- in the run ---- */

/* A signal that came meanwhile finds its state now. */
static void settle(void) {
    atomic_signal_fence(memory_order_seq_cst);
    state.settled = 1;
    if (hy_stop_at_once()) {
        sigset_t before;
        hy_signals_hold(&before);
        hy_stop_save_at_once();
        hy_signals_release(&before);
    }
}

static void settle_if_passed(void) {
    if (state.awaited && hy_device_reached(state.device, state.behind)) {
        state.awaited = false;
        settle();
    }
}

static void settle_behind_compute(void) {
    state.behind = hy_device_mark(state.device, HY_LANE_COMPUTE);
    state.awaited = true;
    settle_if_passed();
}

static void look(void) {
    settle_if_passed();
    if (hy_part_fetches(state.part)) {
        fetch_and_write(false);
    }
    if (!state.first_rank || !hy_stop_at_once() || hy_now() < state.next_look) {
        return;
    }
    state.next_look = hy_now() + 0.02;
    if (state.now.step <= state.saved_step || hy_part_all_there(state.part, state.now.step)) {
        state.leave(state.context);
    }
}

hy_status hy_stop_save_begin(const hy_checkpoint_source *source, const char *folder, const char *log,
                             void (*leave)(void *context), void *context) {
    hy_part *part = NULL;
    HY_TRY(hy_part_create(source, folder, &part));
    memset(&state, 0, sizeof state);
    snprintf(state.log, sizeof state.log, "%s", log);
    state.first_rank = hy_comm_rank(source->world) == 0;
    state.part = part;
    state.device = source->device;
    state.leave = leave;
    state.context = context;
    state.written_step = -1;
    hy_comm_set_watch(look);
    return HY_OK;
}

void hy_stop_save_end(void) {
    hy_comm_set_watch(NULL);
    state.settled = 0;
    state.awaited = false;
    for (int i = 0; i < state.n_writers; i++) {
        (void)kill(state.writers[i], SIGKILL);
        (void)waitpid(state.writers[i], NULL, 0);
    }
    state.n_writers = 0;
    hy_part_destroy(state.part);
    state.part = NULL;
}

void hy_stop_save_changing(void) {
    if (state.part != NULL && hy_part_fetches(state.part)) {
        fetch_and_write(true);
    }
    state.settled = 0;
    state.awaited = false;
    atomic_signal_fence(memory_order_seq_cst);
}

void hy_stop_save_state(const hy_progress *now, const hy_progress *next, int64_t saved_step) {
    hy_stop_save_changing();
    state.now = *now;
    state.next = *next;
    state.saved_step = saved_step;
    settle_behind_compute();
}

void hy_stop_save_changed(void) {
    if (state.part != NULL) {
        state.now = state.next;
        settle_behind_compute();
    }
}
