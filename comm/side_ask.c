/* Questions to all ranks at once. Each goes from place to place of its rank's address until somebody there answers as that rank. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/side_internal.h"

static const double PLACE_SECONDS = 1.0; /* for a connection to come about, before the next place is tried */

static void end_question(hy_side *side, int rank, hy_answer answer) {
    hy_question *q = &side->questions[rank];
    if (q->fd >= 0) {
        (void)close(q->fd);
    }
    q->fd = -1;
    q->state = HY_Q_DONE;
    side->answers[rank].answer = (int32_t)answer;
    side->open--;
}

/* From place q->place on. */
static void try_places(hy_side *side, int rank) {
    const hy_side_address *own = &side->addresses[side->rank], *other = &side->addresses[rank];
    hy_question *q = &side->questions[rank];
    for (; q->place < hy_side_address_count(own, other); q->place++) {
        const struct sockaddr_in at = hy_side_address_at(own, other, q->place);
        q->fd = hy_side_socket();
        q->got = 0;
        q->began = hy_now();
        if (q->fd >= 0 && (connect(q->fd, (const struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS)) {
            q->state = HY_Q_CONNECTING;
            return;
        }
        q->refused |= errno == ECONNREFUSED;
        if (q->fd >= 0) {
            (void)close(q->fd);
        }
        q->fd = -1;
    }
    end_question(side, rank, q->refused ? HY_GONE : HY_SILENT);
}

static void try_next_place(hy_side *side, int rank) {
    hy_question *q = &side->questions[rank];
    (void)close(q->fd);
    q->fd = -1;
    q->place++;
    try_places(side, rank);
}

void hy_side_ask(hy_side *side, hy_side_what what, double seconds) {
    hy_side_drop_questions(side);
    side->what = what;
    side->deadline = hy_now() + seconds;
    side->queued = 0;
    side->open = side->size - 1;
    for (int r = 0; r < side->size; r++) {
        side->questions[r] = (hy_question){.state = r == side->rank ? HY_Q_DONE : HY_Q_QUEUED, .fd = -1};
        side->answers[r] = (hy_whereabouts){.answer = HY_SILENT};
    }
    side->answers[side->rank] = side->answer(side->context);
}

bool hy_side_asked(const hy_side *side, const hy_whereabouts **all) {
    *all = side->answers;
    return side->open == 0;
}

void hy_side_drop_questions(hy_side *side) {
    for (int r = 0; r < side->size; r++) {
        if (side->questions[r].fd >= 0) {
            (void)close(side->questions[r].fd);
        }
        side->questions[r] = (hy_question){.fd = -1};
    }
    side->open = 0;
    side->queued = side->size;
}

int hy_side_poll_questions(hy_side *side, struct pollfd *polled, int *ranks, int n) {
    int under_way = 0;
    for (int r = 0; r < side->size; r++) {
        under_way += side->questions[r].fd >= 0;
    }
    for (; side->queued < side->size && under_way < HY_SIDE_ASKED_AT_ONCE; side->queued++) {
        if (side->questions[side->queued].state == HY_Q_QUEUED) {
            try_places(side, side->queued);
            under_way += side->questions[side->queued].fd >= 0;
        }
    }
    for (int r = 0; r < side->size; r++) {
        const hy_question *q = &side->questions[r];
        if (q->fd >= 0) {
            polled[n] = (struct pollfd){.fd = q->fd, .events = q->state == HY_Q_CONNECTING ? POLLOUT : POLLIN};
            ranks[n++] = r;
        }
    }
    return n;
}

static void say_question(hy_side *side, int rank) {
    hy_question *q = &side->questions[rank];
    int error = 0;
    socklen_t size = sizeof error;
    (void)getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    q->refused |= error == ECONNREFUSED;
    if (error != 0 || !hy_side_send_request(side, q->fd, side->what, rank)) {
        try_next_place(side, rank);
        return;
    }
    q->state = HY_Q_WAITING;
}

void hy_side_hear_answer(hy_side *side, int rank, short events) {
    hy_question *q = &side->questions[rank];
    if (events == 0 || q->fd < 0) {
        return;
    }
    if (q->state == HY_Q_CONNECTING) {
        say_question(side, rank);
        return;
    }
    hy_whereabouts *to = &side->answers[rank];
    const ssize_t n = recv(q->fd, (char *)to + q->got, sizeof *to - q->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) { /* it ended, or is somebody else */
        q->refused = true;
        *to = (hy_whereabouts){.answer = HY_SILENT};
        try_next_place(side, rank);
        return;
    }
    q->got += (size_t)n;
    if (q->got == sizeof *to) {
        to->name[sizeof to->name - 1] = to->phase[sizeof to->phase - 1] = '\0';
        end_question(side, rank, HY_ANSWERED);
    }
}

void hy_side_give_up_late(hy_side *side, double now) {
    for (int r = 0; r < side->size && side->open > 0; r++) {
        const hy_question *q = &side->questions[r];
        if (q->state == HY_Q_CONNECTING && now - q->began > PLACE_SECONDS) {
            try_next_place(side, r);
        }
        if (q->state != HY_Q_DONE && q->state != HY_Q_NONE && now > side->deadline) {
            side->answers[r] = (hy_whereabouts){0};
            end_question(side, r, HY_SILENT);
        }
    }
}
