#include "comm/watchdog.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/text.h"
#include "comm/presence.h"
#include "comm/side_channel.h"

/* Seconds. A launcher that ends a job kills ranks one after the other: those that see it first are not to take it for a death, but a death
 * is to be said before the launcher, which sees it too, kills everybody a second later. The rank behind the dead one says it. */
static const double ANSWER_WITHIN = 3.0, DEATH_GRACE = 0.3, DEATH_GRACE_OF_OTHER = 0.7, OTHERS_FIRST = 4.0,
                    LONGEST_WINDOW = 60.0, PULSE_WITHIN = 1.0;
enum { ABORT_WITHIN = 5, WINDOWS_OF_SILENCE = 10 };

typedef enum watching { LOOKING, COMPARING, LEAVING_IT_TO_OTHERS, COMPARING_SPEED } watching;

static struct {
    hy_side *side; /* NULL: not begun */
    pthread_t thread;
    atomic_bool ending;
    int rank, size;
    hy_watchdog_settings settings;
    hy_whereabouts *before; /* [size], rank 0: the last look at how fast ranks are */
    /* the thread's */
    watching state;
    hy_presence seen;
    double pulsed;     /* hy_now() at the last look that saw the pulse move */
    bool waits;        /* in an exchange, at the last look */
    double waiting;    /* seconds for which it was seen to, in the same one */
    double looked;     /* hy_now() */
    double died_since; /* 0: nobody has */
    double patience;   /* until when others may end the job first */
    double window, window_began;
    int slow_rank, windows_told;
} dog;

/* ---- what this rank is doing ---- */

static void look_at_own(void) {
    const double now = hy_now(), longest = 2.0, passed = now - dog.looked < longest ? now - dog.looked : longest;
    const hy_presence p = hy_presence_read();
    const bool same = p.changes == dog.seen.changes;
    if (p.pulse != dog.seen.pulse) { /* questions of other ranks let two looks follow each other faster than it moves */
        dog.pulsed = now;
    }
    dog.waits = p.waits && !(p.for_device && now - dog.pulsed > PULSE_WITHIN);
    /* A pulse that stands still, as where others have the core, is no waiting, and no end of it. */
    dog.waiting = !same || !p.waits ? 0.0 : dog.waits ? dog.waiting + passed : dog.waiting;
    dog.seen = p;
    dog.looked = now;
}

static hy_whereabouts own_whereabouts(void *context) {
    (void)context;
    const hy_presence p = hy_presence_read();
    const double seconds = p.since > 0.0 ? hy_now() - p.since : 0.0;
    const bool waits = p.waits && (!p.for_device || dog.waits);
    hy_whereabouts at;
    memset(&at, 0, sizeof at);
    at.kind = p.kind;
    at.peer = p.peer;
    at.waits = waits;
    at.overdue = waits && dog.waiting > 0.5 * dog.settings.timeout;
    at.number = p.number;
    at.step = p.step;
    at.seconds = seconds;
    at.waited = p.waited + (waits ? seconds : 0.0);
    snprintf(at.name, sizeof at.name, "%s", p.name != NULL ? p.name : "");
    snprintf(at.phase, sizeof at.phase, "%s", p.phase != NULL ? p.phase : "");
    return at;
}

/* ---- the end ---- */

static void end_hard(int signal_number) {
    (void)signal_number;
    _exit(HY_ERR_COMM);
}

/* The library is asked to end the job; where it is what hangs, the process ends by itself, and its launcher ends the rest. */
static _Noreturn void end_job(void) {
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    (void)signal(SIGALRM, end_hard);
    (void)alarm(ABORT_WITHIN);
    (void)pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    hy_comm_abort(HY_ERR_COMM);
}

static _Noreturn void tell_all_and_end(void) {
    const hy_whereabouts *all;
    const double until = hy_now() + 1.0;
    hy_side_ask(dog.side, HY_SIDE_END, 1.0);
    while (!hy_side_asked(dog.side, &all) && hy_now() < until) {
        hy_side_turn(dog.side, 0.1);
    }
    end_job();
}

/* ---- a rank died ---- */

static void look_for_the_dead(void) {
    bool is_next = false;
    const int died = hy_side_died(dog.side, &is_next);
    if (died < 0) {
        return;
    }
    if (dog.died_since <= 0.0) {
        dog.died_since = hy_now();
    }
    if (hy_now() - dog.died_since < (is_next && dog.size > 2 ? DEATH_GRACE_OF_OTHER : DEATH_GRACE)) {
        return;
    }
    hy_log(HY_LOG_ERROR, "rank %d on %s is gone: it was killed, or crashed; the job ends", died,
           hy_side_hosts(dog.side)[died]);
    tell_all_and_end();
}

/* ---- a rank did not arrive ---- */

static void name_and_end(const hy_whereabouts *all) {
    char text[2048], exchange[HY_EXCHANGE_TEXT];
    hy_whereabouts_exchange(&all[dog.rank], exchange, sizeof exchange);
    (void)hy_whereabouts_judge(all, hy_side_hosts(dog.side), dog.size, dog.rank, text, sizeof text);
    hy_log(HY_LOG_ERROR, "%s has not come about within %s (run.timeout)%s%s: %s; the job ends", exchange,
           hy_text_duration(dog.settings.timeout).s, all[dog.rank].phase[0] != '\0' ? " in " : "", all[dog.rank].phase,
           text);
    tell_all_and_end();
}

/* One says it: the first of those that have waited about as long. */
static bool another_will_say_it(const hy_whereabouts *all) {
    for (int r = 0; r < dog.rank; r++) {
        if (all[r].answer == HY_ANSWERED && all[r].overdue) {
            return true;
        }
    }
    return false;
}

static void compare(void) {
    const hy_whereabouts *all;
    if (dog.waiting == 0.0) { /* it came after all */
        dog.state = LOOKING;
        return;
    }
    if (!hy_side_asked(dog.side, &all)) {
        return;
    }
    if (dog.state == COMPARING && another_will_say_it(all)) {
        dog.state = LEAVING_IT_TO_OTHERS;
        dog.patience = hy_now() + OTHERS_FIRST;
    }
    if (dog.state == COMPARING || hy_now() > dog.patience) {
        name_and_end(all);
    }
}

/* ---- a slow rank ---- */

static void tell_slow(int rank, double share, double seconds, const hy_whereabouts *at) {
    if (rank == dog.slow_rank && dog.windows_told++ < WINDOWS_OF_SILENCE) {
        return;
    }
    dog.slow_rank = rank;
    dog.windows_told = 0;
    hy_warn("rank %d on %s is slow: the others waited for it %.0f%% of the last %s (run.slow); it %s%s%s", rank,
            hy_side_hosts(dog.side)[rank], 100.0 * share, hy_text_duration(seconds).s, at->waits ? "waits" : "computes",
            at->phase[0] != '\0' ? ", " : "", at->phase);
}

static void compare_speed(void) {
    const hy_whereabouts *all;
    if (!hy_side_asked(dog.side, &all)) {
        return;
    }
    double share = 0.0;
    const double now = hy_now(), seconds = now - dog.window_began;
    const int slowest = hy_whereabouts_slowest(dog.before, all, dog.size, seconds, &share);
    if (slowest >= 0 && share > dog.settings.slow) {
        tell_slow(slowest, share, seconds, &all[slowest]);
    }
    memcpy(dog.before, all, (size_t)dog.size * sizeof *all);
    dog.window_began = now;
    dog.state = LOOKING;
}

/* ---- the thread ---- */

static void look(void) {
    look_at_own();
    look_for_the_dead();
    if (hy_side_told_to_end(dog.side) >= 0) { /* who told it has said why, and asks the library first */
        sleep(1);
        end_job();
    }
    if (dog.state == COMPARING || dog.state == LEAVING_IT_TO_OTHERS) {
        compare();
    } else if (dog.waiting > dog.settings.timeout) {
        hy_side_ask(dog.side, HY_SIDE_ASK, fmin(ANSWER_WITHIN, dog.settings.timeout));
        dog.state = COMPARING;
    } else if (dog.state == COMPARING_SPEED) {
        compare_speed();
    } else if (dog.before != NULL && hy_now() - dog.window_began > dog.window) {
        hy_side_ask(dog.side, HY_SIDE_ASK, fmin(ANSWER_WITHIN, dog.settings.timeout));
        dog.state = COMPARING_SPEED;
    }
}

static void *watch_over(void *context) {
    (void)context;
    const double tick = fmin(0.25, dog.settings.timeout / 16.0);
    while (!atomic_load(&dog.ending)) {
        hy_side_turn(dog.side, tick);
        look();
    }
    return NULL;
}

/* Sockets that a child held would keep its neighbours from seeing that its parent died. (Of children made by fork: checkpoints' writers close
 * all that they do not need.) */
static void forget_in_child(void) {
    if (dog.side != NULL) {
        hy_side_forget(dog.side);
    }
}

static hy_status start_thread(void) {
    static bool prepared;
    sigset_t held;
    if (!prepared) {
        prepared = pthread_atfork(NULL, NULL, forget_in_child) == 0;
    }
    hy_signals_hold(&held);
    const int error = pthread_create(&dog.thread, NULL, watch_over, NULL);
    hy_signals_release(&held);
    return error == 0 ? HY_OK : hy_fail(HY_ERR_ENV, "no thread for the watchdog: %s", strerror(error));
}

static hy_status reserve_windows(void) {
    dog.window = fmin(LONGEST_WINDOW, dog.settings.timeout / 4.0);
    dog.window_began = dog.looked;
    dog.slow_rank = -1;
    if (dog.rank > 0 || dog.settings.slow <= 0.0) {
        return HY_OK;
    }
    HY_TRY(HY_NEW("how fast ranks were", dog.size, &dog.before));
    for (int r = 0; r < dog.size; r++) {
        dog.before[r].answer = HY_SILENT; /* not asked yet */
    }
    return HY_OK;
}

hy_status hy_watchdog_begin(hy_comm *world, const hy_watchdog_settings *settings) {
    hy_side *side = NULL;
    if (hy_comm_size(world) == 1 || settings->timeout <= 0.0) {
        return HY_OK;
    }
    memset(&dog, 0, sizeof dog);
    dog.rank = hy_comm_rank(world);
    dog.size = hy_comm_size(world);
    dog.settings = *settings;
    dog.seen = hy_presence_read();
    dog.looked = dog.pulsed = hy_now();
    HY_TRY(hy_side_create(world, own_whereabouts, NULL, &side));
    dog.side = side;
    hy_status status = reserve_windows();
    if (status == HY_OK) {
        status = start_thread();
    }
    status = hy_comm_agree(world, status);
    if (status != HY_OK) {
        hy_watchdog_end();
    }
    return status;
}

void hy_watchdog_end(void) {
    if (dog.side == NULL) {
        return;
    }
    atomic_store(&dog.ending, true);
    hy_side_wake(dog.side);
    if (dog.thread != 0) {
        (void)pthread_join(dog.thread, NULL);
    }
    hy_side_destroy(dog.side);
    dog.side = NULL;
    hy_free(dog.before);
    dog.before = NULL;
}

void hy_watchdog_leave(void) {
    if (dog.side != NULL) {
        hy_side_farewell(dog.side);
    }
}
