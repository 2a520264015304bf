#include "launch/clock_skew.h"

#include <time.h>

#include "base/clock.h"

enum { ROUNDS = 20, TAG = 11 };

static double wall_clock(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void send_time(hy_comm *world, double time, int to) {
    hy_req req = {0};
    hy_comm_send(world, "clock", &time, sizeof time, to, TAG, &req);
    hy_comm_wait(&req);
}

static double receive_time(hy_comm *world, int from) {
    double time = 0.0;
    hy_req req = {0};
    hy_comm_recv(world, "clock", &time, sizeof time, from, TAG, &req);
    hy_comm_wait(&req);
    return time;
}

/* The other read its clock at a moment between sending and receiving: the middle is off by half the way at most. */
static hy_clock_skew ask_rank(hy_comm *world, int rank) {
    hy_clock_skew best = {0.0, -1.0};
    for (int i = 0; i < ROUNDS; i++) {
        const double begun = hy_now(), sent = wall_clock();
        send_time(world, sent, rank);
        const double theirs = receive_time(world, rank), round_trip = hy_now() - begun;
        if (best.round_trip < 0.0 || round_trip < best.round_trip) {
            best = (hy_clock_skew){theirs - (sent + 0.5 * round_trip), round_trip};
        }
    }
    return best;
}

static void answer_rank_0(hy_comm *world) {
    for (int i = 0; i < ROUNDS; i++) {
        (void)receive_time(world, 0);
        send_time(world, wall_clock(), 0);
    }
}

void hy_clock_skew_measure(hy_comm *world, const bool *asked, hy_clock_skew *skews) {
    for (int r = 1; r < hy_comm_size(world); r++) {
        if (asked[r] && hy_comm_rank(world) == 0) {
            skews[r] = ask_rank(world, r);
        } else if (asked[r] && hy_comm_rank(world) == r) {
            answer_rank_0(world);
        }
    }
}
