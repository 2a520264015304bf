#include "train/trace/clock_align.h"

#include "base/clock.h"

enum { ROUNDS = 20, TAG = 12 };

static void send_point(hy_comm *world, hy_clock_point point, int to) {
    hy_req req = {0};
    hy_comm_send(world, "clock", &point, sizeof point, to, TAG, &req);
    hy_comm_wait(&req);
}

static hy_clock_point receive_point(hy_comm *world, int from) {
    hy_clock_point point = {0};
    hy_req req = {0};
    hy_comm_recv(world, "clock", &point, sizeof point, from, TAG, &req);
    hy_comm_wait(&req);
    return point;
}

/* What `rank`'s clock is ahead of this one's: at its time `at`. */
static hy_clock_point ask_for_time(hy_comm *world, int rank) {
    hy_clock_point best = {0.0, 0.0, -1.0};
    for (int i = 0; i < ROUNDS; i++) {
        const double sent = hy_now();
        send_point(world, best, rank);
        const double theirs = receive_point(world, rank).at, back = hy_now(), error = 0.5 * (back - sent);
        if (best.error < 0.0 || error < best.error) {
            best = (hy_clock_point){theirs, theirs - 0.5 * (sent + back), error};
        }
    }
    return best;
}

hy_clock_point hy_clock_align(hy_comm *world) {
    hy_clock_point mine = {hy_now(), 0.0, 0.0};
    if (hy_comm_rank(world) != 0) {
        for (int i = 0; i < ROUNDS; i++) {
            (void)receive_point(world, 0);
            send_point(world, (hy_clock_point){.at = hy_now()}, 0);
        }
        return receive_point(world, 0);
    }
    for (int r = 1; r < hy_comm_size(world); r++) {
        send_point(world, ask_for_time(world, r), r);
    }
    return mine;
}

double hy_clock_common(const hy_clock_point *points, int64_t n, double time) {
    if (n == 0) {
        return time;
    }
    int64_t i = 0;
    while (i < n && points[i].at < time) {
        i++;
    }
    if (i == 0 || i == n) {
        return time - points[i == 0 ? 0 : n - 1].ahead;
    }
    const hy_clock_point *a = &points[i - 1], *b = &points[i];
    const double share = (time - a->at) / (b->at - a->at);
    return time - (a->ahead + share * (b->ahead - a->ahead));
}
